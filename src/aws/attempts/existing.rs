//! A certificate that was already registered, and whether this job may have registered it itself.

use time::{Duration, OffsetDateTime};

use crate::aws::registrar::inventory::DescribedCertificate;
use muster_core::job::CertificateStatus;

/// Assumed maximum difference between AWS's clock and ours.
const CLOCK_SKEW_MAX: Duration = Duration::minutes(5);

/// What is known about a certificate that was already registered when a call tried to register it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ExistingCertificate {
    /// Its status at AWS. `None`: unknown.
    pub status: Option<CertificateStatus>,
    /// Whether a call of this job registered it and its answer was lost. `None`: unknown.
    pub is_ours: Option<bool>,
}

impl ExistingCertificate {
    /// Reads AWS's description of a certificate for which this job made its first call at `first_call`.
    pub fn of(described: &DescribedCertificate, first_call: Option<OffsetDateTime>) -> Self {
        let is_ours = described.created_at.zip(first_call).map(|(created, first)| created >= first - CLOCK_SKEW_MAX);
        Self { status: described.status.parse().ok(), is_ours }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_certificate_from_before_the_first_call_is_not_ours() {
        let first = datetime!(2026-11-22 10:00:00 UTC);
        let existing = |created_at, status: &str| {
            let described = DescribedCertificate { status: status.into(), mode: None, created_at, ca_id: None };
            ExistingCertificate::of(&described, Some(first))
        };
        let ours = existing(Some(first + Duration::SECOND), "ACTIVE");
        assert_eq!(ours, ExistingCertificate { status: Some(CertificateStatus::Active), is_ours: Some(true) });
        assert_eq!(existing(Some(first - Duration::minutes(4)), "INACTIVE").is_ours, Some(true), "clocks differ");
        assert_eq!(existing(Some(first - Duration::days(300)), "INACTIVE").is_ours, Some(false));
        assert_eq!(existing(None, "BRAND_NEW"), ExistingCertificate::default());
    }
}
