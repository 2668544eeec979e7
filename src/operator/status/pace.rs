//! Estimates how fast a batch moves and how long the rest takes.
//!
//! There is no estimate while the work is stopped, nor for missing certificates.

use std::time::Duration;

use super::facts::StatusFacts;
use super::rates::LearntRate;
use crate::operator::situation::{Obstacle, Severity};
use muster_core::format::time_for;
use muster_core::job::Operation;

/// Shortest interval over which a rate is computed.
const MEASURED_MIN: Duration = Duration::from_secs(1);

/// The rates of a batch, per second, and what is left to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPace {
    /// Outcomes between two readings.
    pub measured: Option<f64>,
    /// Sum of the configured quotas of its targets; `None` if one is in neither the ledger nor the settings.
    pub quota: Option<f64>,
    /// Sum of their learnt rates.
    pub learnt: Option<f64>,
    /// Certificates that will get an outcome without intervention; `None` if unknown or if the work is stopped.
    n_left: Option<u64>,
    /// Messages in all queues.
    n_messages: Option<u64>,
}

impl BatchPace {
    /// Computes the rates.
    pub(super) fn of(facts: &StatusFacts<'_>, rates: &[LearntRate], obstacles: &[Obstacle]) -> Self {
        let batch = facts.batch;
        let is_stopped = obstacles.iter().any(|obstacle| obstacle.severity == Severity::Stopped);
        let is_missing = batch.missing(facts.queues_empty_for).is_some_and(|n| n > 0);
        let outstanding = batch.outstanding().map(|n| if is_missing { 0 } else { n });
        let n_left = outstanding.and_then(|n| Some(n + batch.being_resent()?));
        // While parked jobs wait for an operator, zero certificates left must not read as "0 s left".
        let is_over = n_left == Some(0) && !batch.is_complete();
        Self {
            measured: facts.measured.and_then(|measured| rate(measured.n_outcomes, measured.time)),
            quota: sum(facts, rates, |rate| rate.ceiling),
            learnt: sum(facts, rates, |rate| rate.learnt),
            n_left: n_left.filter(|_| !is_stopped && !is_over),
            n_messages: facts.situation.n_messages(),
        }
    }

    /// Returns how long the rest takes at a rate.
    pub(super) fn seconds_left(&self, rate: Option<f64>) -> Option<f64> {
        Some(time_for(self.n_left?, rate?)?.as_secs_f64())
    }

    /// Returns how long all messages in the queues take at the learnt rate, if they are more than the rest of the
    /// batch.
    pub(super) fn seconds_left_with_other_batches(&self) -> Option<f64> {
        let n_messages = self.n_messages.filter(|&n| self.n_left.is_some_and(|left| 0 < left && left < n))?;
        Some(time_for(n_messages, self.learnt?)?.as_secs_f64())
    }
}

/// Returns outcomes per second; `None` over less than a second.
pub(super) fn rate(n_outcomes: u64, time: Duration) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    (time >= MEASURED_MIN).then(|| n_outcomes as f64 / time.as_secs_f64())
}

/// Sums a rate over the batch's targets, from the ledger or else from the settings. For a target with several
/// operations, only the highest rate counts: the quota of a few CA registrations does not speed up the devices.
fn sum(facts: &StatusFacts<'_>, rates: &[LearntRate], rate: impl Fn(&LearntRate) -> f64) -> Option<f64> {
    let known = |target: &str, operation: Operation| {
        rates.iter().find(|rate| (rate.target.as_str(), rate.operation.as_str()) == (target, operation.into()))
    };
    let configured = |target: &str, operation| Some(facts.config.targets.get(target)?.rates.of(operation).per_second());
    let rate_of = |(target, operation): &(String, Operation)| {
        known(target, *operation).map(&rate).or_else(|| configured(target, *operation))
    };
    let same_target = |(one, _): &(String, Operation), (other, _): &(String, Operation)| one == other;
    let highest = |operations: &[(String, Operation)]| {
        operations.iter().map(rate_of).try_fold(0.0, |highest, rate| Some(f64::max(highest, rate?)))
    };
    // Without an outcome, the targets of the batch are unknown.
    let known_targets = Some(&facts.operations).filter(|operations| !operations.is_empty())?;
    known_targets.chunk_by(same_target).map(highest).sum()
}
