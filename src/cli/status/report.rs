//! What `status` says of a batch, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use strum::VariantArray;

use super::rates::LearntRate;

use crate::cli::figures::{grouped, printable, rfc3339, span, time_for};
use crate::config::Config;
use crate::job::{Name, Operation};
use crate::outcome::{Code, Status};
use crate::store::BatchStatus;
use crate::store::batch::Example;
use crate::store::rate_limit::RateReport;

/// What a report is made of.
pub(super) struct Facts<'a> {
    /// The batch's name.
    pub name: &'a Name,
    /// Its counters.
    pub batch: &'a BatchStatus,
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
    batch: String,
    /// How many distinct certificates the line announced; null: it did not say.
    announced: Option<u64>,
    ended: u64,
    /// Announced and without an end; null: nobody said how many there are.
    outstanding: Option<u64>,
    /// Of those without an end: parked until what holds them is mended.
    parked: u64,
    /// Ends by status, and what is parked; all statuses are there.
    ends: BTreeMap<String, u64>,
    /// Certificates at AWS that stand with another or an unknown status than was asked for.
    status_differs: u64,
    /// Bad ends by code, the most frequent first.
    failures: Vec<Failure>,
    /// What is parked by code, the most frequent first.
    parked_for: Vec<Failure>,
    first_end_at: Option<String>,
    last_end_at: Option<String>,
    /// Ends a second between the first and the last end.
    average_rate: Option<f64>,
    /// Ends a second between two readings just now; null: nothing is outstanding, or it was not asked for.
    measured_rate: Option<f64>,
    /// The time between these readings.
    measured_seconds: Option<f64>,
    targets: Vec<String>,
    /// What was learnt of their quotas; none of a target that no worker has served yet.
    rates: Vec<LearntRate>,
    /// The configured quotas of these targets together, in calls a second; null: one is neither in the ledger nor in the
    /// settings.
    quota: Option<f64>,
    /// The learnt rates of these targets together, in calls a second.
    learnt_rate: Option<f64>,
    /// How long what is outstanding takes at the measured rate.
    seconds_left_at_measured_rate: Option<f64>,
    /// How long it takes at the learnt rate.
    seconds_left_at_learnt_rate: Option<f64>,
    /// How long it takes at the quota: not less.
    seconds_left_at_quota: Option<f64>,
}

/// The certificates that ended, or are parked, for one bad reason.
#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    status: String,
    n: u64,
    example: Option<Shown>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// Certificate id, or SHA-256 of the PEM text where no certificate can be read.
    subject: String,
    detail: Option<String>,
}

impl Report {
    /// Puts the facts together.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let batch = facts.batch;
        let outstanding = batch.announced.map(|announced| announced.saturating_sub(batch.ended()));
        let ends = || batch.counts.iter().filter(|count| count.status.is_end());
        let first = ends().map(|count| count.first_at).min();
        let last = ends().map(|count| count.last_at).max();
        let measured_rate = facts.measured.and_then(|measured| rate(measured.ends, measured.time));
        let rates: Vec<_> = facts.rates.iter().map(LearntRate::from).collect();
        let quota = sum(facts, &rates, |rate| rate.ceiling);
        let learnt_rate = sum(facts, &rates, |rate| rate.learnt);
        let left_at = |rate: Option<f64>| Some(time_for(outstanding?, rate?)?.as_secs_f64());
        Self {
            batch: facts.name.to_string(),
            announced: batch.announced,
            ended: batch.ended(),
            outstanding,
            parked: batch.parked(),
            ends: Status::VARIANTS.iter().map(|&status| (status.to_string(), batch.with_status(status))).collect(),
            status_differs: batch.counts.iter().map(|count| count.n_status_differs).sum(),
            failures: by_code(batch, &facts.examples, |status| status.is_end() && !status.is_good()),
            parked_for: by_code(batch, &facts.examples, |status| !status.is_end()),
            first_end_at: first.map(rfc3339),
            last_end_at: last.map(rfc3339),
            average_rate: first.zip(last).and_then(|(first, last)| rate(batch.ended(), (last - first).unsigned_abs())),
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

    /// What was learnt of the quotas.
    pub(super) fn rates(&self) -> &[LearntRate] {
        &self.rates
    }
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "batch {}: {}\n", self.batch, self.headline())?;
        for status in Status::VARIANTS {
            let name = status.to_string();
            writeln!(f, "{:>11}  {}", grouped(self.ends[&name]), name.replace('_', " "))?;
        }
        if self.status_differs > 0 {
            let n = grouped(self.status_differs);
            writeln!(f, "\n{n} of them are at AWS with another or an unknown status than was asked for.")?;
        }
        write_failures(f, "what failed, with an example of each", &self.failures)?;
        write_failures(f, "what is parked until its cause is mended, with an example of each", &self.parked_for)?;
        writeln!(f)?;
        self.write_rates(f)
    }
}

fn write_failures(f: &mut fmt::Formatter<'_>, title: &str, failures: &[Failure]) -> fmt::Result {
    if !failures.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    for failure in failures {
        writeln!(f, "{:>11}  {}{}", grouped(failure.n), failure.code, failure.example_line())?;
    }
    Ok(())
}

impl Report {
    fn headline(&self) -> String {
        let ended = grouped(self.ended);
        let parked = match self.parked {
            0 => String::new(),
            n => format!(", {} parked", grouped(n)),
        };
        match (self.announced, self.outstanding) {
            (Some(announced), Some(0)) => {
                format!("complete, {ended} ended of {} announced{parked}", grouped(announced))
            }
            (Some(announced), Some(outstanding)) => {
                let (announced, outstanding) = (grouped(announced), grouped(outstanding));
                format!("{ended} ended of {announced} announced, {outstanding} outstanding{parked}")
            }
            _ => format!("{ended} ended{parked}; the line did not say how many there are"),
        }
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(rate), Some(seconds)) = (self.measured_rate, self.measured_seconds) {
            writeln!(f, "{rate:>11.1}  ends a second just now, measured for {seconds:.1} s")?;
        }
        if let (Some(rate), Some(first), Some(last)) = (self.average_rate, &self.first_end_at, &self.last_end_at) {
            writeln!(f, "{rate:>11.1}  ends a second on average from {first} to {last}")?;
        }
        for line in self.rates.iter().filter_map(LearntRate::line) {
            writeln!(f, "{line}")?;
        }
        if self.outstanding != Some(0) {
            self.write_times_left(f)?;
        }
        Ok(())
    }

    fn write_times_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.seconds_left_at_measured_rate.and_then(to_time) {
            writeln!(f, "{:>11}  left at the rate of just now", span(time))?;
        }
        let slower = self.learnt_rate.filter(|&learnt| self.quota.is_some_and(|quota| learnt < quota));
        if let (Some(rate), Some(time)) = (slower, self.seconds_left_at_learnt_rate.and_then(to_time)) {
            writeln!(f, "{:>11}  left at the learnt rate of {rate:.1} a second", span(time))?;
        }
        match (self.seconds_left_at_quota.and_then(to_time), self.quota) {
            (Some(time), Some(quota)) => {
                writeln!(f, "{:>11}  left at the configured quota of {quota} a second", span(time))
            }
            (_, None) => {
                writeln!(f, "the quota is not known: ledger and settings lack one of {}", self.targets.join(", "))
            }
            _ => Ok(()),
        }
    }
}

fn to_time(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

impl Failure {
    fn example_line(&self) -> String {
        let Some(example) = &self.example else { return String::new() };
        let name = example.reference.as_ref().unwrap_or(&example.subject);
        let detail = example.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", printable(detail)));
        format!("  {name}{detail}")
    }
}

#[cfg(test)]
mod tests;
