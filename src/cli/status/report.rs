//! What `status` says of a batch as JSON; `text` says it for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use strum::VariantArray;

use super::rates::LearntRate;

use crate::cli::figures::{rfc3339, time_for};
use crate::config::Config;
use crate::job::{Name, Operation};
use crate::outcome::{Code, Status};
use crate::store::BatchStatus;
use crate::store::batch::Example;
use crate::store::rate_limit::RateReport;
use crate::store::reading;

/// What a report is made of.
pub(super) struct Facts<'a> {
    /// The batch's name.
    pub name: &'a Name,
    /// Its counters.
    pub batch: &'a BatchStatus,
    /// For how long the queues have read empty.
    pub queues_empty_for: Option<Duration>,
    /// What was seen between two readings of them.
    pub measured: Option<Measured>,
    /// A certificate for each code of a bad end.
    pub examples: Vec<Example>,
    /// The operations of targets that the batch has ends for.
    pub operations: Vec<(String, Operation)>,
    /// What the ledger knows of their quotas.
    pub rates: Vec<RateReport>,
    /// The settings, for quotas that no worker has opened yet.
    pub config: &'a Config,
}

/// Ends between two readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// How many.
    pub ends: u64,
    /// The time between the readings.
    pub time: Duration,
}

/// How far a batch is. Times are in seconds, rates in ends a second.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) batch: String,
    /// How many distinct certificates the line announced; null: it did not say.
    pub(super) announced: Option<u64>,
    pub(super) ended: u64,
    /// Announced, without an end and not parked; null: nobody said how many there are.
    pub(super) outstanding: Option<u64>,
    /// What is outstanding, once the queues have read empty for two minutes; null: it may be on its way.
    pub(super) missing: Option<u64>,
    /// Since so many seconds the queues have read empty; null: they are not, or nobody reads them.
    pub(super) queues_empty_seconds: Option<u64>,
    /// Without an end: parked until what holds them is mended.
    pub(super) parked: u64,
    /// Ends by status; all statuses are there.
    pub(super) ends: BTreeMap<String, u64>,
    /// Certificates at AWS that stand with another or an unknown status than was asked for.
    pub(super) status_differs: u64,
    /// Bad ends by code, the most frequent first.
    pub(super) failures: Vec<Failure>,
    /// What is parked by code, the most frequent first.
    pub(super) parked_for: Vec<Failure>,
    pub(super) first_end_at: Option<String>,
    pub(super) last_end_at: Option<String>,
    /// Ends a second between the first and the last end.
    pub(super) average_rate: Option<f64>,
    /// Ends a second between two readings just now; null: nothing is outstanding, or it was not asked for.
    pub(super) measured_rate: Option<f64>,
    /// The time between these readings.
    pub(super) measured_seconds: Option<f64>,
    pub(super) targets: Vec<String>,
    /// What was learnt of their quotas; none of a target that no worker has served yet.
    pub(super) rates: Vec<LearntRate>,
    /// The configured quotas of these targets together, in calls a second; null: one is neither in the ledger nor in the
    /// settings.
    pub(super) quota: Option<f64>,
    /// The learnt rates of these targets together, in calls a second.
    pub(super) learnt_rate: Option<f64>,
    /// How long what is outstanding takes at the measured rate; null where it is missing.
    pub(super) seconds_left_at_measured_rate: Option<f64>,
    /// How long it takes at the learnt rate.
    pub(super) seconds_left_at_learnt_rate: Option<f64>,
    /// How long it takes at the quota: not less.
    pub(super) seconds_left_at_quota: Option<f64>,
}

/// The certificates that ended, or are parked, for one bad reason.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) status: String,
    pub(super) n: u64,
    pub(super) example: Option<Shown>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    /// Certificate id, or SHA-256 of the PEM text where no certificate can be read.
    pub(super) subject: String,
    pub(super) detail: Option<String>,
}

impl Report {
    /// Puts the facts together.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let batch = facts.batch;
        let outstanding = batch.outstanding();
        let missing = reading::missing(outstanding, facts.queues_empty_for);
        let to_come = outstanding.filter(|_| missing.is_none_or(|n| n == 0));
        let ends = || batch.counts.iter().filter(|count| count.status.is_end());
        let first = ends().map(|count| count.first_at).min();
        let last = ends().map(|count| count.last_at).max();
        let measured_rate = facts.measured.and_then(|measured| rate(measured.ends, measured.time));
        let rates: Vec<_> = facts.rates.iter().map(LearntRate::from).collect();
        let quota = sum(facts, &rates, |rate| rate.ceiling);
        let learnt_rate = sum(facts, &rates, |rate| rate.learnt);
        let left_at = |rate: Option<f64>| Some(time_for(to_come?, rate?)?.as_secs_f64());
        Self {
            batch: facts.name.to_string(),
            announced: batch.announced,
            ended: batch.ended(),
            outstanding,
            missing,
            queues_empty_seconds: facts.queues_empty_for.map(|time| time.as_secs()),
            parked: batch.parked(),
            ends: end_statuses().map(|status| (status.to_string(), batch.with_status(status))).collect(),
            status_differs: batch.status_differs(),
            failures: by_code(batch, &facts.examples, |status| status.is_end() && !status.is_good()),
            parked_for: by_code(batch, &facts.examples, |status| !status.is_end()),
            first_end_at: first.map(rfc3339),
            last_end_at: last.map(rfc3339),
            average_rate: first
                .zip(last)
                .and_then(|(first, last)| rate(batch.ended(), (last - first).try_into().ok()?)),
            measured_rate,
            measured_seconds: facts.measured.map(|measured| measured.time.as_secs_f64()),
            targets: facts.targets(),
            rates,
            quota,
            learnt_rate,
            seconds_left_at_measured_rate: left_at(measured_rate),
            seconds_left_at_learnt_rate: left_at(learnt_rate),
            seconds_left_at_quota: left_at(quota),
        }
    }

    /// Says whether every certificate that was announced has an end.
    pub(super) fn is_complete(&self) -> bool {
        self.outstanding == Some(0) && self.parked == 0
    }

    /// Says whether something did not end well, or never will.
    pub(super) fn has_failures(&self) -> bool {
        !self.failures.is_empty() || self.missing.is_some_and(|n| n > 0)
    }
}

/// The statuses that are ends.
pub(super) fn end_statuses() -> impl Iterator<Item = Status> {
    Status::VARIANTS.iter().copied().filter(|status| status.is_end())
}

/// Ends a second; none where there was no time.
fn rate(ends: u64, time: Duration) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    let rate = ends as f64 / time.as_secs_f64();
    rate.is_finite().then_some(rate)
}

/// Adds a rate up over the batch's targets: as the ledger knows it, else as the settings say. Of several operations of a
/// target the greatest counts: a few CAs do not make the devices behind them faster.
fn sum(facts: &Facts<'_>, rates: &[LearntRate], rate: impl Fn(&LearntRate) -> f64) -> Option<f64> {
    let known = |target: &str, operation: Operation| {
        rates.iter().find(|rate| (rate.target.as_str(), rate.operation.as_str()) == (target, operation.into()))
    };
    let configured = |target: &str, operation| Some(facts.config.targets.get(target)?.rates.of(operation).per_second());
    let of = |(target, operation): &(String, Operation)| {
        known(target, *operation).map(&rate).or_else(|| configured(target, *operation))
    };
    let same_target = |(one, _): &(String, Operation), (other, _): &(String, Operation)| one == other;
    let greatest =
        |its: &[(String, Operation)]| its.iter().map(of).try_fold(0.0, |most, its| Some(f64::max(most, its?)));
    facts.operations.chunk_by(same_target).map(greatest).sum()
}

impl Facts<'_> {
    /// The targets that the batch has ends for.
    fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.operations.iter().map(|(target, _)| target.clone()).collect();
        targets.dedup();
        targets
    }
}

/// Counts of some statuses by code, the most frequent first.
fn by_code(batch: &BatchStatus, examples: &[Example], is_wanted: impl Fn(Status) -> bool) -> Vec<Failure> {
    let mut counts: BTreeMap<Code, (Status, u64)> = BTreeMap::new();
    for count in batch.counts.iter().filter(|count| is_wanted(count.status)) {
        counts.entry(count.code).or_insert((count.status, 0)).1 += count.n;
    }
    let mut failures: Vec<_> =
        counts.into_iter().map(|(code, (status, n))| failure(code, status, n, examples)).collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.n));
    failures
}

fn failure(code: Code, status: Status, n: u64, examples: &[Example]) -> Failure {
    let show = |example: &Example| Shown {
        reference: example.reference.clone(),
        subject: hex::encode(example.subject),
        detail: example.detail.clone(),
    };
    let example = examples.iter().find(|example| example.code == code).map(show);
    Failure { code: code.as_str(), status: status.to_string(), n, example }
}

#[cfg(test)]
mod tests;
