//! What is known of a certificate that was there already: from the ledger, or from AWS where it may have been we who
//! registered it.

use time::{Duration, OffsetDateTime};
use tracing::warn;

use super::{Admitted, Course, Worker};
use crate::certificate::CertificateId;
use crate::job::CertificateStatus;
use crate::registrar::inventory::DescribedCertificate;

/// How far AWS's clock and ours may be apart.
const CLOCKS_APART: Duration = Duration::minutes(5);

/// What is known of a certificate that was there when a call came to register it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// Its status at AWS.
    pub status: Option<CertificateStatus>,
    /// Whether it was registered by a call of this job whose answer was lost.
    pub is_ours: Option<bool>,
}

impl Standing {
    /// What AWS's description tells, where the first call for it was made at an instant.
    pub fn of(described: &DescribedCertificate, first_call: Option<OffsetDateTime>) -> Self {
        let is_ours = described.created_at.zip(first_call).map(|(created, first)| created >= first - CLOCKS_APART);
        Self { status: described.status.parse().ok(), is_ours }
    }
}

impl Worker {
    /// Finds out what is known of a certificate that was there. AWS is asked only where it may have been we who registered it:
    /// with an earlier call of this job, or of a delivery before this one.
    pub(super) async fn standing(&self, admitted: &Admitted, course: &Course) -> Standing {
        let id = admitted.certificate.id();
        let may_be_ours = course.is_answer_lost() || admitted.delivery.is_redelivery;
        if !course.is_answer_lost()
            && let Some(status) = self.status_in_ledger(admitted, id).await
        {
            return Standing { status: Some(status), is_ours: None };
        }
        if !may_be_ours {
            return Standing::default();
        }
        let session = &self.parts.targets[admitted.job.target.as_str()].session;
        let described = tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => None,
            described = session.describe(id, admitted.job.operation()) => described,
        };
        described.map_or_else(Standing::default, |described| Standing::of(&described, course.first_call()))
    }

    async fn status_in_ledger(&self, admitted: &Admitted, id: CertificateId) -> Option<CertificateStatus> {
        let account = &self.parts.targets[admitted.job.target.as_str()].account;
        let known = self.parts.store.known(&account.id, &account.region, admitted.job.operation(), &[id]).await;
        known.inspect_err(|error| warn!(%error, "cannot look a certificate up")).ok()?.remove(&id)?
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_certificate_from_before_the_first_call_is_not_ours() {
        let first = datetime!(2026-11-22 10:00:00 UTC);
        let standing = |created_at, status: &str| {
            let described = DescribedCertificate { status: status.into(), mode: None, created_at, ca_id: None };
            Standing::of(&described, Some(first))
        };
        let ours = standing(Some(first + Duration::SECOND), "ACTIVE");
        assert_eq!(ours, Standing { status: Some(CertificateStatus::Active), is_ours: Some(true) });
        assert_eq!(standing(Some(first - Duration::minutes(4)), "INACTIVE").is_ours, Some(true), "clocks differ");
        assert_eq!(standing(Some(first - Duration::days(300)), "INACTIVE").is_ours, Some(false));
        assert_eq!(standing(None, "BRAND_NEW"), Standing::default());
    }
}
