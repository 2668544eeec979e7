//! What is known about a certificate that was already registered: from the ledger, or from AWS if an earlier call of
//! ours may have registered it.

use tracing::warn;

use super::{Admitted, Worker};
use crate::aws::attempts::{Attempts, ExistingCertificate};
use muster_core::certificate::CertificateId;
use muster_core::job::CertificateStatus;

impl Worker {
    /// Finds out what is known about a certificate that was already registered. Asks AWS only if we may have registered
    /// it ourselves: with an earlier call of this job whose answer was lost, or in an earlier delivery of this message.
    pub(super) async fn existing(&self, admitted: &Admitted, attempts: &Attempts) -> ExistingCertificate {
        let id = admitted.certificate.id();
        let may_be_ours = attempts.is_answer_lost() || admitted.delivery.is_redelivery;
        if !attempts.is_answer_lost()
            && let Some(status) = self.status_in_ledger(admitted, id).await
        {
            return ExistingCertificate { status: Some(status), is_ours: None };
        }
        if !may_be_ours {
            return ExistingCertificate::default();
        }
        let client = &self.parts.targets[admitted.job.target.as_str()].client;
        let described = tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => None,
            described = client.describe(id, admitted.job.operation()) => described,
        };
        described.map_or_else(ExistingCertificate::default, |described| {
            ExistingCertificate::of(&described, attempts.first_call())
        })
    }

    async fn status_in_ledger(&self, admitted: &Admitted, id: CertificateId) -> Option<CertificateStatus> {
        let account = &self.parts.targets[admitted.job.target.as_str()].account;
        let known = self.parts.ledger.known(&account.id, &account.region, admitted.job.operation(), &[id]).await;
        known.inspect_err(|error| warn!(%error, "cannot look up a certificate in the ledger")).ok()?.remove(&id)?
    }
}
