//! One certificate's calls: token, RegisterCertificate, and again until it ends.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::admission::Admission;
use super::retry::{Retries, Step};
use super::{Admitted, Worker, differing_status};
use crate::crash_point;
use crate::hold::{HoldKind, Parking};
use crate::outcome::{Attempt, Code, Outcome};
use crate::registrar::{Answer, CallError, Kind};
use crate::slots::Stage;

/// Most attempts that an outcome carries; the ledger keeps no more.
const KEPT: usize = 10;

impl Worker {
    /// Calls AWS until the job ends or is parked; nothing where the process stops before.
    pub(super) async fn register(&self, admitted: &Admitted) -> Option<Outcome> {
        let limiter = self.parts.limiters.of(&admitted.job.target, admitted.job.operation());
        let mut retries = Retries::new(self.parts.retry, limiter.successes());
        let mut calls = Calls::default();
        let _held = limiter.hold();
        if let Some(parking) = self.make_room(admitted) {
            let reason = parking.opening.as_ref().map(|opening| opening.reason.clone()).unwrap_or_default();
            return Some(parked(parking, reason, admitted, calls));
        }
        let mut passed = Vec::new();
        crash_point::reached("checked");
        loop {
            admitted.delivery.slot.enter(Stage::Waiting);
            let (token, probe) = match self.admit(admitted, &mut passed).await? {
                Admission::Call(token, probe) => (token, probe),
                Admission::Park(parking, reason) => return Some(parked(parking, reason, admitted, calls)),
            };
            crash_point::reached("token");
            admitted.delivery.slot.enter(Stage::Calling);
            let answer = self.call(admitted).await;
            crash_point::reached("answered");
            drop(probe);
            if answer.kind() == Some(Kind::Throttled) {
                limiter.throttled(&token);
            }
            calls.push(answer.attempt.clone());
            let step = match &answer.result {
                Ok(_) => Step::End(Code::Ok),
                Err(error) => self.after(error, admitted, &mut retries),
            };
            match step {
                Step::End(code) => return Some(self.end(code, admitted, &answer, &retries, calls)),
                Step::Wait(wait) => self.wait(admitted, wait).await?,
            }
        }
    }

    /// Decides after a failed call.
    fn after(&self, error: &CallError, admitted: &Admitted, retries: &mut Retries) -> Step {
        let limiter = self.parts.limiters.of(&admitted.job.target, admitted.job.operation());
        let breaker = self.parts.breakers.of(&admitted.job.target, admitted.job.operation());
        retries.after(error, limiter.successes(), breaker.open().is_some())
    }

    async fn call(&self, admitted: &Admitted) -> Answer {
        let began = Instant::now();
        let answer = self.parts.targets[admitted.job.target.as_str()].session.register(&admitted.certificate).await;
        let took = began.elapsed();
        let label = answer.result.as_ref().map_or_else(|error| error.kind.label(), |_| "ok");
        self.parts.metrics.iot_request(admitted.job.operation(), label, took);
        self.parts.metrics.stage(Stage::Calling, took);
        self.note(&answer, began, admitted);
        answer
    }

    /// Tells the breakers and holds what a call met.
    fn note(&self, answer: &Answer, began: Instant, admitted: &Admitted) {
        let breakers = &self.parts.breakers;
        let breaker = breakers.of(&admitted.job.target, admitted.job.operation());
        if let Err(error) = &answer.result {
            log(error, &answer.attempt);
            match error.kind {
                Kind::Denied => return breaker.denied(&error.to_string()),
                Kind::Transient(_) => return breaker.failed(&error.to_string()),
                _ => {}
            }
        }
        breaker.answered(began);
        if matches!(answer.result, Ok(_) | Err(CallError { kind: Kind::Exists, .. })) {
            self.parts.limiters.of(&admitted.job.target, admitted.job.operation()).succeeded();
            if !breakers.holds.is_empty() {
                breakers.holds.went_through(&admitted.holds());
            }
        }
    }

    /// Ends a job, or parks it where its issuing CA is not registered or not active.
    fn end(&self, code: Code, admitted: &Admitted, answer: &Answer, retries: &Retries, calls: Calls) -> Outcome {
        let hold = admitted.issuer_hold().filter(|_| code == Code::IssuerInactive);
        let Some(hold) = hold else { return outcome(code, admitted, answer, retries, calls) };
        let reason = answer.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let parking = self.parts.breakers.holds.issuer_inactive(hold, admitted.certificate.id(), &reason);
        parked(parking, reason, admitted, calls)
    }

    /// Waits before the next call; nothing where the process stops before.
    async fn wait(&self, admitted: &Admitted, wait: Duration) -> Option<()> {
        admitted.delivery.slot.enter(Stage::Waiting);
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => None,
            () = tokio::time::sleep(wait) => Some(()),
        }
    }
}

/// The calls of a job: all counted, the last ten kept.
#[derive(Default)]
struct Calls {
    last: Vec<Attempt>,
    n: usize,
}

impl Calls {
    fn push(&mut self, attempt: Attempt) {
        self.n += 1;
        if self.last.len() == KEPT {
            self.last.remove(0);
        }
        self.last.push(attempt);
    }
}

/// A job that waits in the ledger.
fn parked(parking: Parking, reason: String, admitted: &Admitted, calls: Calls) -> Outcome {
    let id = admitted.certificate.id();
    let code = match parking.hold.kind() {
        Some(HoldKind::Issuer) => Code::IssuerInactive,
        Some(HoldKind::Batch) => Code::BatchFailing,
        Some(HoldKind::Busy) => Code::TargetBusy,
        Some(HoldKind::Target) | None => Code::TargetUnavailable,
    };
    Outcome {
        code,
        detail: Some(reason),
        subject: id.0,
        certificate_id: Some(id),
        known_status: None,
        attempts: calls.last,
        n_attempts: calls.n,
        parking: Some(parking),
    }
}

/// The end of a job, from its last answer.
fn outcome(code: Code, admitted: &Admitted, answer: &Answer, retries: &Retries, calls: Calls) -> Outcome {
    let id = admitted.certificate.id();
    let wanted = admitted.job.request.wanted_status();
    let (code, detail) = match (code, foreign_id(answer, &id.to_string())) {
        (_, Some(found)) => {
            error!(%id, found, "AWS answered with an id that is not the certificate's");
            (Code::IdMismatch, Some(format!("AWS answered with id {found:?}, wanted {id}")))
        }
        (Code::Ok, None) => (Code::Ok, None),
        (Code::Exists, None) if retries.is_answer_lost() => (Code::AnswerLost, None),
        (Code::Exists, None) if admitted.delivery.is_redelivery => (Code::Redelivered, differing_status(None, wanted)),
        (Code::Exists, None) => (Code::Exists, differing_status(None, wanted)),
        (code, None) => (code, answer.result.as_ref().err().map(ToString::to_string)),
    };
    let is_ours = matches!(code, Code::Ok | Code::AnswerLost);
    Outcome {
        code,
        detail,
        subject: id.0,
        certificate_id: Some(id),
        known_status: is_ours.then_some(wanted),
        attempts: calls.last,
        n_attempts: calls.n,
        parking: None,
    }
}

/// The id that AWS gave, where it is not the certificate's.
fn foreign_id(answer: &Answer, id: &str) -> Option<String> {
    let given = answer.result.as_ref().ok().or(answer.existing_id.as_ref())?;
    (given != id).then(|| given.clone())
}

fn log(error: &CallError, attempt: &Attempt) {
    let request_id = attempt.request_id.as_deref().unwrap_or_default();
    if error.kind == Kind::Denied {
        warn!(code = error.code, detail = error.message, request_id, "AWS denies the call");
    } else {
        debug!(code = error.code, detail = error.message, request_id, "the call did not register");
    }
}
