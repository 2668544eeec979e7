//! What parked jobs wait for: an issuer that is not active, a batch that fails as a whole, a target that takes nothing
//! or has more work than it can start.
//!
//! A hold is known by its key everywhere: in memory, in the ledger, in logs. What it means to people is its [`Notice`].
//! Pure: no I/O, no clock.

mod notice;

use std::fmt;
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};

use crate::certificate::CertificateId;
use crate::job::{Name, Operation};

pub use notice::Notice;

/// Names one hold, for example `issuer:default:5f3c...` or `batch:line7`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HoldKey(String);

/// What sort of thing is held.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum HoldKind {
    /// The certificates of one issuer: its CA is not registered, or not active.
    Issuer,
    /// One batch: nearly all of it fails for one reason.
    Batch,
    /// One of several targets: it denies or fails every call.
    Target,
    /// One of several targets: it has more work than it can start, and others have none.
    Busy,
    /// Everything, a target or a batch: somebody paused it.
    Pause,
    /// Nothing: what people asked to be sent again waits to be sent.
    Replay,
}

impl HoldKey {
    /// The certificates of one issuer for one target; the key is [`crate::precheck::CheckedCertificate::issuer_key`].
    pub fn issuer(target: &Name, issuer_key: [u8; 32]) -> Self {
        Self(format!("issuer:{target}:{}", hex::encode(issuer_key)))
    }

    /// One batch.
    pub fn batch(batch: &Name) -> Self {
        Self(format!("batch:{batch}"))
    }

    /// One target's operation.
    pub fn target(target: &Name, operation: Operation) -> Self {
        Self(format!("target:{target}:{operation}"))
    }

    /// The jobs that one target's operation cannot start soon.
    pub fn busy(target: &Name, operation: Operation) -> Self {
        Self(format!("busy:{target}:{operation}"))
    }

    /// Everything, because somebody paused it.
    pub fn pause_all() -> Self {
        Self("pause:all".to_owned())
    }

    /// One target, because somebody paused it.
    pub fn pause_target(target: &Name) -> Self {
        Self(format!("pause:target:{target}"))
    }

    /// One batch, because somebody paused it.
    pub fn pause_batch(batch: &Name) -> Self {
        Self(format!("pause:batch:{batch}"))
    }

    /// What a replay chose.
    pub fn replay(number: i64) -> Self {
        Self(format!("replay:{number}"))
    }

    /// Takes a key as the ledger holds it.
    pub fn read(text: String) -> Self {
        Self(text)
    }

    /// The number of the replay whose jobs it is, where it is one's.
    pub fn replay_number(&self) -> Option<i64> {
        self.0.strip_prefix("replay:")?.parse().ok()
    }

    /// The target that somebody paused, where it is that.
    pub fn paused_target(&self) -> Option<&str> {
        self.0.strip_prefix("pause:target:")
    }

    /// The target of a hold on an issuer; none for any other hold.
    pub fn issuer_target(&self) -> Option<&str> {
        // A target's name may contain colons, the hash behind it does not.
        Some(self.0.strip_prefix("issuer:")?.rsplit_once(':')?.0)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What sort of thing is held; none for what a newer version holds.
    pub fn kind(&self) -> Option<HoldKind> {
        let word = self.0.split(':').next()?;
        HoldKind::VARIANTS.iter().copied().find(|&kind| <&str>::from(kind) == word)
    }
}

impl fmt::Display for HoldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a job is parked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parking {
    /// What it waits for.
    pub hold: HoldKey,
    /// What this worker found; none where it met a hold that the ledger had.
    pub opening: Option<Opening>,
}

/// A worker's finding that something is to be held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The certificate whose call told; two different ones close the hold for all others.
    pub witness: Option<CertificateId>,
    /// Closes the hold for all others at once, without a second witness.
    pub is_closed: bool,
    /// The subject of the CA, for people: of a hold on an issuer only.
    pub subject: Option<String>,
    /// What was found, for people.
    pub reason: String,
    /// How often one job is let through to see whether it is over.
    pub probe_every: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_kind() {
        let name: Name = "line:7".parse().unwrap();
        assert_eq!(HoldKey::batch(&name).kind(), Some(HoldKind::Batch));
        assert_eq!(HoldKey::issuer(&name, [7; 32]).kind(), Some(HoldKind::Issuer));
        assert_eq!(HoldKey::target(&name, Operation::RegisterCertificate).kind(), Some(HoldKind::Target));
        assert_eq!(HoldKey::pause_batch(&name).kind(), Some(HoldKind::Pause));
        assert_eq!(HoldKey::replay(7).kind(), Some(HoldKind::Replay));
        assert_eq!(HoldKey::read("moon:7".into()).kind(), None);
        assert_eq!(HoldKey::issuer(&name, [7; 32]).issuer_target(), Some("line:7"));
        assert_eq!(HoldKey::batch(&name).issuer_target(), None);
    }
}
