//! Holds: what parked jobs wait for, such as an issuer that is not active, a batch that fails as a whole, or a target
//! that denies every call or has more work than it can start.
//!
//! A hold is identified by its key everywhere: in memory, in the ledger, in logs. Its [`Notice`] explains it to an
//! operator. Pure: no I/O, no clock.

mod notice;

use std::fmt;
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};

use crate::certificate::CertificateId;
use crate::job::{Name, Operation};

pub use notice::Notice;

/// Identifies one hold, for example `issuer:default:5f3c...` or `batch:line7`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HoldKey(String);

/// What kind of thing is held.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum HoldKind {
    /// The certificates of one issuer: its CA is not registered, or not active.
    Issuer,
    /// One batch: nearly all of its jobs fail for the same reason.
    Batch,
    /// One of several targets: every call to it is denied or fails.
    Target,
    /// One of several targets: it has more work than it can start, while others have none.
    Busy,
    /// Everything, a target or a batch: an operator paused it.
    Pause,
    /// Nothing: the jobs that a replay selected wait to be resent.
    Replay,
}

impl HoldKey {
    /// Holds the certificates of one issuer for one target; the key is
    /// [`crate::precheck::CheckedCertificate::issuer_key`].
    pub fn issuer(target: &Name, issuer_key: [u8; 32]) -> Self {
        Self(format!("issuer:{target}:{}", hex::encode(issuer_key)))
    }

    /// Holds one batch.
    pub fn batch(batch: &Name) -> Self {
        Self(format!("batch:{batch}"))
    }

    /// Holds one target's operation.
    pub fn target(target: &Name, operation: Operation) -> Self {
        Self(format!("target:{target}:{operation}"))
    }

    /// Holds the jobs that one target's operation cannot start soon.
    pub fn busy(target: &Name, operation: Operation) -> Self {
        Self(format!("busy:{target}:{operation}"))
    }

    /// Holds everything, because an operator paused it.
    pub fn pause_all() -> Self {
        Self("pause:all".to_owned())
    }

    /// Holds one target, because an operator paused it.
    pub fn pause_target(target: &Name) -> Self {
        Self(format!("pause:target:{target}"))
    }

    /// Holds one batch, because an operator paused it.
    pub fn pause_batch(batch: &Name) -> Self {
        Self(format!("pause:batch:{batch}"))
    }

    /// Holds the jobs that a replay selected until they are resent.
    pub fn replay(number: i64) -> Self {
        Self(format!("replay:{number}"))
    }

    /// Wraps a key read from the ledger.
    pub fn read(text: String) -> Self {
        Self(text)
    }

    /// The number of the replay, if the hold is a replay's.
    pub fn replay_number(&self) -> Option<i64> {
        self.0.strip_prefix("replay:")?.parse().ok()
    }

    /// The paused target, if the hold is the pause of a target.
    pub fn paused_target(&self) -> Option<&str> {
        self.0.strip_prefix("pause:target:")
    }

    /// The target of a hold on an issuer; `None` for any other hold.
    pub fn issuer_target(&self) -> Option<&str> {
        // A target's name may contain colons; the hash after it does not.
        Some(self.0.strip_prefix("issuer:")?.rsplit_once(':')?.0)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of thing is held; `None` for a kind that only a newer version knows.
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
    /// The hold that the job waits for.
    pub hold: HoldKey,
    /// What this worker found; `None` if the hold was already in the ledger.
    pub opening: Option<Opening>,
}

/// A worker's finding that something must be held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The certificate whose call showed it. Two different witnesses close the hold for all other jobs.
    pub witness: Option<CertificateId>,
    /// Closes the hold for all other jobs at once, without a second witness.
    pub is_closed: bool,
    /// The subject of the CA, for display; only for a hold on an issuer.
    pub subject: Option<String>,
    /// What was found, as text for an operator.
    pub reason: String,
    /// How often one job is sent as a probe.
    pub probe_every: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_its_kind_and_target() {
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
