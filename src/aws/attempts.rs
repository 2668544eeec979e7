//! The calls made for one certificate: what to do after each answer, and the outcome after the last.
//!
//! All calls are counted; only the last ten are kept for the ledger. Nothing here calls AWS or waits.

mod existing;
mod retry;

use time::OffsetDateTime;
use tracing::error;

use crate::aws::registrar::Answer;
use crate::config::retry_policy::RetryPolicy;
use muster_core::hold::{HoldKind, Parking};
use muster_core::job::CertificateStatus;
use muster_core::outcome::known::differing_status;
use muster_core::outcome::{ATTEMPTS_KEPT, Attempt, Code, Outcome};
use muster_core::precheck::CheckedCertificate;

use retry::Retries;

pub use existing::ExistingCertificate;
pub use retry::NextStep;

/// The calls made for one certificate: all are counted, the last ten are kept.
#[derive(Debug)]
pub struct Attempts {
    retries: Retries,
    first_call: Option<OffsetDateTime>,
    last: Vec<Attempt>,
    n: usize,
}

impl Attempts {
    /// Creates an empty record. `successes` counts the calls of the same target and operation that have succeeded so
    /// far.
    pub fn new(policy: RetryPolicy, successes: u64) -> Self {
        Self { retries: Retries::new(policy, successes), first_call: None, last: vec![], n: 0 }
    }

    /// Records the answer to a call and returns what to do next.
    pub fn after(&mut self, answer: &Answer, successes: u64, is_breaker_open: bool) -> NextStep {
        self.n += 1;
        self.first_call.get_or_insert(answer.attempt.at);
        if self.last.len() == ATTEMPTS_KEPT {
            self.last.remove(0);
        }
        self.last.push(answer.attempt.clone());
        match &answer.result {
            Ok(_) => NextStep::Finish(Code::Ok),
            Err(error) => self.retries.after(error, successes, is_breaker_open),
        }
    }

    /// Returns whether an earlier call may have registered the certificate although its answer was lost.
    pub fn is_answer_lost(&self) -> bool {
        self.retries.is_answer_lost()
    }

    /// Returns when the first call was made.
    pub fn first_call(&self) -> Option<OffsetDateTime> {
        self.first_call
    }

    /// Returns the outcome, from the last answer. `existing` describes a certificate that was already registered.
    pub fn outcome(
        self,
        code: Code,
        certificate: &CheckedCertificate,
        wanted: CertificateStatus,
        is_redelivery: bool,
        answer: &Answer,
        existing: ExistingCertificate,
    ) -> Outcome {
        let id = certificate.id();
        let (code, detail) = match (code, foreign_id(answer, &id.to_string())) {
            (_, Some(found)) => {
                error!(%id, found, "AWS answered with an id that is not the certificate's");
                (Code::IdMismatch, Some(format!("AWS answered with id {found:?}, expected {id}")))
            }
            (Code::Ok, None) => (Code::Ok, None),
            (Code::Exists, None) => {
                // If we registered it, it has the status that was requested.
                let has_wanted_status = existing.status.is_none_or(|status| status == wanted);
                let is_ours = has_wanted_status && existing.is_ours != Some(false);
                let code = if self.is_answer_lost() && is_ours {
                    Code::AnswerLost
                } else if is_redelivery {
                    Code::Redelivered
                } else {
                    Code::Exists
                };
                (code, differing_status(existing.status, wanted))
            }
            (code, None) => (code, answer.result.as_ref().err().map(ToString::to_string)),
        };
        let known_status =
            if code == Code::Ok { Some(wanted) } else { existing.status.filter(|_| code.status().is_success()) };
        Outcome { known_status, ..self.into_outcome(code, detail, certificate) }
    }

    /// Returns the outcome of a job that is parked in the ledger.
    pub fn parked(self, parking: Parking, reason: String, certificate: &CheckedCertificate) -> Outcome {
        let code = match parking.hold.kind() {
            Some(HoldKind::Issuer) => Code::IssuerInactive,
            Some(HoldKind::Batch) => Code::BatchFailing,
            Some(HoldKind::Busy) => Code::TargetBusy,
            Some(HoldKind::Pause) => Code::Paused,
            Some(HoldKind::Target | HoldKind::Replay) | None => Code::TargetUnavailable,
        };
        Outcome { parking: Some(parking), ..self.into_outcome(code, Some(reason), certificate) }
    }

    fn into_outcome(self, code: Code, detail: Option<String>, certificate: &CheckedCertificate) -> Outcome {
        let id = certificate.id();
        Outcome {
            code,
            detail,
            subject: id.0,
            certificate_id: Some(id),
            known_status: None,
            attempts: self.last,
            n_attempts: self.n,
            parking: None,
        }
    }
}

/// Returns the id in AWS's answer if it is not the certificate's.
fn foreign_id(answer: &Answer, id: &str) -> Option<String> {
    let given = answer.result.as_ref().ok().or(answer.existing_id.as_ref())?;
    (given != id).then(|| given.clone())
}
