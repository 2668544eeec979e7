//! What `muster ca register` would do, given what AWS has now.

use serde::Serialize;

use crate::operator::ca_registration::Existing;
use muster_core::job::CertificateStatus;

/// What would be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaPlan {
    /// AWS does not have the CA: it would be registered.
    Register,
    /// AWS has it, but not active: it would be activated.
    Activate,
    /// AWS has it and nothing else was requested.
    Nothing,
    /// AWS did not answer: it would be registered or, if AWS has it and activation was requested, activated.
    Unknown,
}

impl CaPlan {
    /// Returns the plan for a CA, given what AWS has of it.
    pub(super) fn of(existing: Option<&Existing>, wanted: CertificateStatus) -> Self {
        match existing.map(|existing| existing.status) {
            None => Self::Register,
            Some(None) => Self::Unknown,
            Some(Some(status)) if wanted == CertificateStatus::Active && status != wanted => Self::Activate,
            Some(Some(_)) => Self::Nothing,
        }
    }

    /// Returns the plan for people.
    pub(super) fn in_words(self, wanted: CertificateStatus) -> &'static str {
        match self {
            Self::Register => "would be registered",
            Self::Activate => "already registered, would be activated",
            Self::Nothing => "already registered, nothing would be done",
            Self::Unknown if wanted == CertificateStatus::Active => {
                "would be registered, or activated if AWS has it already"
            }
            Self::Unknown => "would be registered unless AWS has it already",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_existing_inactive_ca_would_be_activated() {
        use CertificateStatus::{Active, Inactive};
        let existing = |status| Existing { status, unknown_because: None, mode: None, is_activated: false };
        for (status, wanted, plan) in [
            (None, Active, CaPlan::Register),
            (Some(None), Active, CaPlan::Unknown),
            (Some(Some(Inactive)), Active, CaPlan::Activate),
            (Some(Some(Active)), Active, CaPlan::Nothing),
            (Some(Some(Inactive)), Inactive, CaPlan::Nothing),
            (Some(Some(Active)), Inactive, CaPlan::Nothing),
        ] {
            assert_eq!(CaPlan::of(status.map(existing).as_ref(), wanted), plan, "{status:?} {wanted}");
        }
    }
}
