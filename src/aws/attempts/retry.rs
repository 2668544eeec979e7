//! Decides after each failed call whether the job has an outcome or is retried. Pure, except for the jitter of the
//! waits.
//!
//! A throttle never counts, nor does any failure while the target's circuit breaker is open. Other failures count only
//! if another call succeeded meanwhile: an outage is not the job's fault, but a failure that affects only this
//! certificate is. Waits use exponential backoff with full jitter.

use std::time::Duration;

use crate::aws::registrar::{CallError, ErrorKind};
use crate::config::retry_policy::RetryPolicy;
use crate::runtime::backoff::Backoff;
use muster_core::outcome::Code;

/// What to do after a failed call.
#[derive(Debug, Eq, PartialEq)]
pub enum NextStep {
    /// The job has this outcome.
    Finish(Code),
    /// The job waits, then calls again.
    Wait(Duration),
}

/// The failures of a job so far.
#[derive(Debug)]
pub(super) struct Retries {
    policy: RetryPolicy,
    waits: Backoff,
    limited_waits: Backoff,
    n_counted: u32,
    n_limited: u32,
    successes_seen: u64,
    is_answer_lost: bool,
}

impl Retries {
    /// Creates the state of a new job. `successes` counts the calls of its target that have succeeded so far.
    pub(super) fn new(policy: RetryPolicy, successes: u64) -> Self {
        Self {
            policy,
            waits: Backoff::new(policy.first_wait, policy.max_wait),
            limited_waits: Backoff::new(policy.limited_first_wait, policy.max_wait.max(policy.limited_first_wait)),
            n_counted: 0,
            n_limited: 0,
            successes_seen: successes,
            is_answer_lost: false,
        }
    }

    /// Returns whether an earlier call may have registered the certificate although its answer was lost.
    pub(super) fn is_answer_lost(&self) -> bool {
        self.is_answer_lost
    }

    /// Returns what to do after a failed call.
    pub(super) fn after(&mut self, error: &CallError, successes: u64, is_breaker_open: bool) -> NextStep {
        match error.kind {
            ErrorKind::Exists => NextStep::Finish(Code::Exists),
            ErrorKind::Refused(code) => NextStep::Finish(code),
            ErrorKind::IssuerInactive => NextStep::Finish(Code::IssuerInactive),
            ErrorKind::Conflict => NextStep::Finish(Code::CertificateConflict),
            ErrorKind::Throttled => NextStep::Wait(self.waits.next_wait()),
            // No wait here: the job waits for the circuit breaker instead.
            ErrorKind::Denied | ErrorKind::Unreached => NextStep::Wait(Duration::ZERO),
            ErrorKind::Limited => self.after_limit(),
            ErrorKind::Transient(code) => {
                self.is_answer_lost |= error.may_have_executed;
                self.after_trouble(code, successes, is_breaker_open)
            }
        }
    }

    fn after_limit(&mut self) -> NextStep {
        self.n_limited += 1;
        if self.n_limited >= self.policy.limited_attempts {
            return NextStep::Finish(Code::LimitExceeded);
        }
        NextStep::Wait(self.limited_waits.next_wait())
    }

    fn after_trouble(&mut self, code: Code, successes: u64, is_breaker_open: bool) -> NextStep {
        if successes != self.successes_seen {
            self.n_counted += u32::from(!is_breaker_open);
            self.successes_seen = successes;
        }
        if self.n_counted >= self.policy.attempts {
            return NextStep::Finish(code);
        }
        NextStep::Wait(self.waits.next_wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> CallError {
        CallError { kind, code: String::new(), message: String::new(), may_have_executed: true }
    }

    /// Returns the number of identical answers after which a job has an outcome, and the outcome. `others_succeed`:
    /// whether other calls succeed in between.
    fn attempts_until_outcome(kind: ErrorKind, others_succeed: bool) -> Option<(usize, Code)> {
        let mut retries = Retries::new(RetryPolicy::default(), 0);
        (1..1000).find_map(|n| match retries.after(&error(kind), if others_succeed { n } else { 0 }, false) {
            NextStep::Finish(code) => Some((usize::try_from(n).unwrap(), code)),
            NextStep::Wait(_) => None,
        })
    }

    #[test]
    fn a_failure_of_one_job_alone_is_final_after_eight_attempts() {
        let outcome = attempts_until_outcome(ErrorKind::Transient(Code::Timeout), true);
        assert_eq!(outcome, Some((8, Code::Timeout)));
    }

    #[test]
    fn an_outage_never_fails_a_job() {
        assert_eq!(attempts_until_outcome(ErrorKind::Transient(Code::ServerError), false), None);
    }

    #[test]
    fn an_attempt_never_counts_while_the_breaker_is_open() {
        let mut retries = Retries::new(RetryPolicy::default(), 0);
        for n in 1..100 {
            let step = retries.after(&error(ErrorKind::Transient(Code::Timeout)), n, true);
            assert!(matches!(step, NextStep::Wait(_)), "the job had an outcome after {n} calls");
        }
    }

    #[test]
    fn throttles_and_denials_never_fail_a_job() {
        assert_eq!(attempts_until_outcome(ErrorKind::Throttled, true), None);
        assert_eq!(attempts_until_outcome(ErrorKind::Denied, true), None);
        assert_eq!(attempts_until_outcome(ErrorKind::Unreached, true), None);
    }

    #[test]
    fn a_limit_fails_a_job_after_five_attempts() {
        assert_eq!(attempts_until_outcome(ErrorKind::Limited, false), Some((5, Code::LimitExceeded)));
        assert_eq!(attempts_until_outcome(ErrorKind::Limited, true), Some((5, Code::LimitExceeded)));
    }

    #[test]
    fn a_refusal_is_final_at_once() {
        let kind = ErrorKind::Refused(Code::CertificateValidation);
        assert_eq!(attempts_until_outcome(kind, true), Some((1, Code::CertificateValidation)));
        assert_eq!(attempts_until_outcome(ErrorKind::IssuerInactive, true), Some((1, Code::IssuerInactive)));
    }

    #[test]
    fn only_a_call_that_may_have_reached_aws_loses_an_answer() {
        let mut retries = Retries::new(RetryPolicy::default(), 0);
        retries.after(&error(ErrorKind::Throttled), 0, false);
        assert!(!retries.is_answer_lost());
        let unsent = CallError { may_have_executed: false, ..error(ErrorKind::Transient(Code::Transport)) };
        retries.after(&unsent, 0, false);
        assert!(!retries.is_answer_lost(), "the call did not reach AWS");
        retries.after(&error(ErrorKind::Transient(Code::Transport)), 0, false);
        assert!(retries.is_answer_lost());
    }
}
