//! A CA that AWS has already: its real status, and activating it.
//!
//! Every question is asked a few times, as calls of others may use up the quota for it. A CA whose status AWS does not say
//! is activated all the same: `UpdateCACertificate` changes nothing of a CA that is active.

use super::{CaRegistration, CaRegistrationError};
use crate::aws::attempts::{Attempts, ExistingCertificate};
use crate::aws::registrar::inventory::DescribedCertificate;
use crate::aws::registrar::{CallError, ErrorKind};
use crate::ledger::authority::LearntStatus;
use crate::ledger::{Ledger, LedgerError, insist};
use crate::runtime::backoff::Backoff;
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateMode, CertificateStatus};

/// Calls before a question to AWS is given up.
const ATTEMPTS: u32 = 4;

/// A CA that AWS had before the call that was to register it.
#[derive(Debug)]
pub struct Existing {
    /// Its status at AWS by now. None: AWS did not say it.
    pub status: Option<CertificateStatus>,
    /// Why AWS did not say its status.
    pub unknown_because: Option<String>,
    /// Its mode, where AWS said it.
    pub mode: Option<CertificateMode>,
    /// Whether it was activated now.
    pub is_activated: bool,
}

impl Existing {
    /// What AWS's answer to `DescribeCACertificate` says.
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

    /// What it says of the job that was to register the CA.
    pub(super) fn known(&self, wanted: CertificateStatus, is_ours: Option<bool>) -> ExistingCertificate {
        // INACTIVE is what AWS takes where nothing is asked for: that it is ACTIVE is no fault.
        let status = self.status.filter(|&status| status == wanted || wanted == CertificateStatus::Active);
        ExistingCertificate { status, is_ours: if self.is_activated { Some(false) } else { is_ours } }
    }
}

impl CaRegistration {
    /// Asks AWS what it has of a CA; none where it does not have it.
    ///
    /// # Errors
    /// AWS did not say.
    pub async fn describe_ca(&self, id: CertificateId) -> Result<Option<DescribedCertificate>, CaRegistrationError> {
        self.ask("DescribeCACertificate", async || self.registrar.describe_ca(id).await).await
    }

    /// Finds out what AWS has of a CA, without changing anything; none where AWS does not have it.
    pub async fn look_at_ca(&self, id: CertificateId) -> Option<Existing> {
        match self.describe_ca(id).await {
            Ok(None) => None,
            answer => Some(Existing::of(answer)),
        }
    }

    /// Finds out what AWS has of a CA that is there already, and activates it where that is wanted. With it, what it says of
    /// the job, and why the CA was not activated.
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
        // Of a CA that an earlier call may have registered nothing but its status shows that it is not as was asked for.
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

    /// Writes the status of a CA that AWS has already, and resends what waits for it where it is active.
    pub(super) async fn note(
        &self,
        ledger: &Ledger,
        id: CertificateId,
        existing: &Existing,
    ) -> Result<(), LedgerError> {
        let Some(status) = existing.status else { return Ok(()) };
        let learnt = LearntStatus { account: &self.account, id, status: Some(status), mode: existing.mode };
        insist(async || ledger.note_ca_status(&learnt).await).await?;
        if status == CertificateStatus::Active {
            insist(async || ledger.release_ca(&self.account, id).await).await?;
        }
        Ok(())
    }

    /// Asks AWS something, again after a throttle or passing trouble.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, CaRegistrationError> {
        let mut backoff = Backoff::new(self.retry.first_wait, self.retry.max_wait);
        let mut answer = call().await;
        for _ in 1..ATTEMPTS {
            let is_passing = |error: &CallError| matches!(error.kind, ErrorKind::Throttled | ErrorKind::Transient(_));
            if !answer.as_ref().is_err_and(is_passing) {
                break;
            }
            backoff.wait().await;
            answer = call().await;
        }
        answer.map_err(|error| CaRegistrationError::Call { operation, error })
    }
}
