//! One certificate's calls: permit, RegisterCertificate, and retries until the job has an outcome.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::admission::Admission;
use super::{Admitted, Attempts, ExistingCertificate, Worker};
use crate::aws::attempts::NextStep;
use crate::aws::registrar::{Answer, CallError, ErrorKind};
use crate::runtime::crash_point;
use crate::telemetry::metrics::Stage;
use muster_core::outcome::{Attempt, Code, Outcome};

impl Worker {
    /// Calls AWS until the job has an outcome or is parked; returns `None` if the process stops before.
    pub(super) async fn register(&self, admitted: &mut Admitted) -> Option<Outcome> {
        let permits = self.parts.pools.of(&admitted.job.target, admitted.job.operation());
        let mut attempts = Attempts::new(self.parts.retry, permits.successes());
        let _held = permits.hold();
        if let Some(parking) = self.make_room(admitted) {
            let reason = parking.opening.as_ref().map(|opening| opening.reason.clone()).unwrap_or_default();
            return Some(attempts.parked(parking, reason, &admitted.certificate));
        }
        self.name_ca_if_shared(admitted);
        let mut probed = Vec::new();
        crash_point::reached("checked");
        loop {
            admitted.delivery.slot.enter(Stage::Waiting);
            let (permit, probe) = match self.admit(admitted, &mut probed).await? {
                Admission::Call(permit, probe) => (permit, probe),
                Admission::Park(parking, reason) => {
                    return Some(attempts.parked(parking, reason, &admitted.certificate));
                }
            };
            crash_point::reached("token");
            admitted.delivery.slot.enter(Stage::Calling);
            let answer = self.call(admitted).await;
            crash_point::reached("answered");
            drop(probe);
            if answer.kind() == Some(ErrorKind::Throttled) {
                permits.throttled(&permit);
                self.parts.throttles.note(&admitted.job.target, admitted.job.operation());
            }
            let is_open = self.parts.board.of(&admitted.job.target, admitted.job.operation()).open().is_some();
            match attempts.after(&answer, permits.successes(), is_open) {
                NextStep::Finish(Code::CertificateConflict) if self.name_ca(admitted).await? => {}
                NextStep::Finish(code) => return Some(self.conclude(code, admitted, &answer, attempts).await),
                NextStep::Wait(wait) => self.wait(admitted, wait).await?,
            }
        }
    }

    async fn call(&self, admitted: &Admitted) -> Answer {
        let began = Instant::now();
        let answer = self.parts.targets[admitted.job.target.as_str()].client.register(&admitted.certificate).await;
        let took = began.elapsed();
        let label = answer.result.as_ref().map_or_else(|error| error.kind.label(), |_| "ok");
        self.parts.metrics.iot_request(admitted.job.operation(), label, took);
        self.parts.metrics.stage(Stage::Calling, took);
        self.note(&answer, began, admitted);
        answer
    }

    /// Reports the result of a call to the breakers and holds.
    fn note(&self, answer: &Answer, began: Instant, admitted: &Admitted) {
        let board = &self.parts.board;
        let (target, operation) = (&admitted.job.target, admitted.job.operation());
        let breaker = board.of(target, operation);
        if let Err(error) = &answer.result {
            log(error, &answer.attempt);
            match error.kind {
                ErrorKind::Denied => return breaker.denied(&error.to_string()),
                ErrorKind::Unreached => return breaker.unreached(&error.to_string()),
                ErrorKind::Transient(_) => return breaker.failed(&error.to_string()),
                _ => {}
            }
        }
        board.answered(target, operation, began);
        if matches!(answer.result, Ok(_) | Err(CallError { kind: ErrorKind::Exists, .. })) {
            self.parts.pools.of(target, operation).succeeded();
            if !board.holds.is_empty() {
                board.holds.note_success(&admitted.holds());
            }
        }
    }

    /// Returns the outcome of a job, or parks it if its issuing CA is not registered or not active.
    async fn conclude(&self, code: Code, admitted: &Admitted, answer: &Answer, attempts: Attempts) -> Outcome {
        let hold = admitted.issuer_hold().filter(|_| code == Code::IssuerInactive);
        let Some(hold) = hold else {
            let (wanted, is_redelivery) = (admitted.job.request.wanted_status(), admitted.delivery.is_redelivery);
            let was_registered = code == Code::Exists;
            let existing =
                if was_registered { self.existing(admitted, &attempts).await } else { ExistingCertificate::default() };
            let outcome = attempts.outcome(code, &admitted.certificate, wanted, is_redelivery, answer, existing);
            return self.advised(outcome, admitted).await;
        };
        let reason = answer.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let issuer = admitted.job.request.certificate().map(|certificate| certificate.issuer());
        let parking = self.parts.board.holds.issuer_inactive(hold, admitted.certificate.id(), issuer, &reason);
        attempts.parked(parking, reason, &admitted.certificate)
    }

    /// Waits before the next call; returns `None` if the process stops before.
    async fn wait(&self, admitted: &Admitted, wait: Duration) -> Option<()> {
        admitted.delivery.slot.enter(Stage::Waiting);
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => None,
            () = tokio::time::sleep(wait) => Some(()),
        }
    }
}

fn log(error: &CallError, attempt: &Attempt) {
    let request_id = attempt.request_id.as_deref().unwrap_or_default();
    if error.kind == ErrorKind::Denied {
        warn!(code = error.code, detail = error.message, request_id, "AWS denies the call");
    } else {
        debug!(code = error.code, detail = error.message, request_id, "the call did not register the certificate");
    }
}
