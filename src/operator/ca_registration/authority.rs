//! A CA that is already registered: reads its status at AWS and activates it.
//!
//! Each call is retried a few times, because other callers may use up its quota. A CA whose status is unknown is
//! activated anyway: `UpdateCACertificate` does not change a CA that is already active.

use super::{ATTEMPTS, CaRegistration, CaRegistrationError};
use crate::aws::attempts::{Attempts, ExistingCertificate};
use crate::aws::registrar::inventory::DescribedCertificate;
use crate::aws::registrar::{CallError, ErrorKind};
use crate::ledger::authority::LearntStatus;
use crate::ledger::{Ledger, LedgerError, retry_conflicts};
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateMode, CertificateStatus};

/// A CA that was registered before the call that should have registered it.
#[derive(Debug)]
pub struct Existing {
    /// Its current status at AWS. `None`: unknown.
    pub status: Option<CertificateStatus>,
    /// Why its status is unknown.
    pub unknown_because: Option<String>,
    /// Its certificate mode, if known.
    pub mode: Option<CertificateMode>,
    /// Whether this run activated it.
    pub is_activated: bool,
}

impl Existing {
    /// Interprets AWS's answer to `DescribeCACertificate`.
    fn of(answer: Result<Option<DescribedCertificate>, CaRegistrationError>) -> Self {
        let (status, mode, unknown_because) = match answer {
            Ok(Some(described)) => {
                let status = described.status.parse().ok();
                let cause = format!("AWS answered with the unknown status `{}`", described.status);
                (status, described.mode.and_then(|mode| mode.parse().ok()), status.is_none().then_some(cause))
            }
            Ok(None) => (None, None, Some("DescribeCACertificate does not find the CA".to_owned())),
            Err(error) => (None, None, Some(error.to_string())),
        };
        Self { status, unknown_because, mode, is_activated: false }
    }

    /// Returns what this means for the outcome of the job that should have registered the CA.
    pub(super) fn known(&self, wanted: CertificateStatus, is_ours: Option<bool>) -> ExistingCertificate {
        // INACTIVE is AWS's default when a job requests no status, so a CA that is ACTIVE is not a mismatch.
        let status = self.status.filter(|&status| status == wanted || wanted == CertificateStatus::Active);
        ExistingCertificate { status, is_ours: if self.is_activated { Some(false) } else { is_ours } }
    }
}

impl CaRegistration {
    /// Describes a CA; returns `None` if AWS does not have it.
    ///
    /// # Errors
    /// The call failed on every attempt.
    pub async fn describe_ca(&self, id: CertificateId) -> Result<Option<DescribedCertificate>, CaRegistrationError> {
        self.ask("DescribeCACertificate", async || self.registrar.describe_ca(id).await).await
    }

    /// Returns the state of a CA at AWS without changing it, or `None` if AWS does not have it.
    pub async fn inspect_ca(&self, id: CertificateId) -> Option<Existing> {
        match self.describe_ca(id).await {
            Ok(None) => None,
            answer => Some(Existing::of(answer)),
        }
    }

    /// Reads the state of an already registered CA and activates it if that was requested. Also returns what this means
    /// for the outcome, and the error if the CA could not be activated.
    pub(super) async fn existing(
        &self,
        id: CertificateId,
        wanted: CertificateStatus,
        attempts: &Attempts,
    ) -> (Existing, ExistingCertificate, Option<CaRegistrationError>) {
        let described = self.describe_ca(id).await;
        let first_call = attempts.first_call().filter(|_| attempts.is_answer_lost());
        let is_ours =
            described.as_ref().ok().and_then(|its| ExistingCertificate::of(its.as_ref()?, first_call).is_ours);
        let mut existing = Existing::of(described);
        // An earlier call whose answer was lost may have registered this CA as requested. Then only a status that AWS
        // reports shows that it is not ACTIVE.
        let may_be_inactive = match existing.status {
            Some(status) => status != CertificateStatus::Active,
            None => !attempts.is_answer_lost(),
        };
        let mut failed = None;
        if wanted == CertificateStatus::Active && may_be_inactive {
            failed = self.activate(id, &mut existing).await.err();
        }
        let known = existing.known(wanted, is_ours);
        (existing, known, failed)
    }

    async fn activate(&self, id: CertificateId, existing: &mut Existing) -> Result<(), CaRegistrationError> {
        let answer = self.ask("UpdateCACertificate", async || self.registrar.activate_ca(id).await).await;
        answer.map_err(|error| match error {
            CaRegistrationError::Call { error, .. } => {
                CaRegistrationError::NotActivated { id, status: existing.status, error }
            }
            error => error,
        })?;
        existing.is_activated = true;
        existing.status = Some(CertificateStatus::Active);
        existing.unknown_because = None;
        Ok(())
    }

    /// Records the status of an already registered CA. If it is active, releases the jobs that wait for it, so that
    /// they are resent.
    pub(super) async fn note(
        &self,
        ledger: &Ledger,
        id: CertificateId,
        existing: &Existing,
    ) -> Result<(), LedgerError> {
        let Some(status) = existing.status else { return Ok(()) };
        let learnt = LearntStatus { account: &self.account, id, status: Some(status), mode: existing.mode };
        retry_conflicts(async || ledger.note_ca_status(&learnt).await).await?;
        if status == CertificateStatus::Active {
            retry_conflicts(async || ledger.release_ca(&self.account, id).await).await?;
        }
        Ok(())
    }

    /// Makes a call, with retries after a throttle or a transient error.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, CaRegistrationError> {
        let is_transient = |error: &CallError| matches!(error.kind, ErrorKind::Throttled | ErrorKind::Transient(_));
        let answer = self.waits().retry(ATTEMPTS, is_transient, || call()).await;
        answer.map_err(|error| CaRegistrationError::Call { operation, error })
    }
}
