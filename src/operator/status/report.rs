//! The progress and failures of one batch; `text` formats it for people.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::VariantArray;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::facts::StatusFacts;
use super::pace::{self, BatchPace};
use super::rates::LearntRate;
use super::sources::SourceCounts;
use crate::ledger::BatchStatus;
use crate::ledger::batch::{COUNTED_MAX, FailureExample, WaitingJobs};
use crate::operator::situation::{Obstacle, Severity};
use muster_core::hold::Notice;
use muster_core::outcome::{Code, Status};

/// The progress of a batch. Times are in seconds, rates in outcomes per second.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchReport {
    /// Name of the batch.
    pub batch: String,
    /// What stops or slows the batch, the worst first; empty once it is complete.
    pub obstacles: Vec<Obstacle>,
    /// How many distinct certificates the producer announced; null: it announced none.
    pub announced: Option<u64>,
    /// Certificates with an outcome.
    pub finished: u64,
    /// Announced, without an outcome and not parked; null: the producer did not announce how many there are.
    pub outstanding: Option<u64>,
    /// How many of these are missing; null if unknown, because messages may still be on their way.
    pub missing: Option<u64>,
    /// How long the queues have been empty; null: they are not, or no worker reads them.
    pub queues_empty_seconds: Option<u64>,
    /// Parked: waiting for an open hold, or being resent.
    pub parked: u64,
    /// Parked jobs whose hold was released; null: unknown, as too many wait to be counted.
    pub being_resent: Option<u64>,
    /// What the other parked jobs wait for, most first.
    pub waiting_for: Vec<WaitingFor>,
    /// Messages in all queues, of other batches too; null: unknown.
    pub queue_messages: Option<u64>,
    /// Messages in the dead-letter queues, of other batches too; null: unknown.
    pub dead_letters: Option<u64>,
    /// How long ago the queues were read; null: never.
    pub queues_read_seconds_ago: Option<u64>,
    /// Messages in the quarantine.
    pub quarantined: u64,
    /// Outcomes by status; every status is present.
    pub by_status: BTreeMap<String, u64>,
    /// Certificates whose status at AWS is unknown or not the requested one.
    pub status_differs: u64,
    /// Failures by code, the most frequent first.
    pub failures: Vec<FailureGroup>,
    /// Parked jobs by code, the most frequent first.
    pub parked_for: Vec<FailureGroup>,
    /// Certificates by factory line.
    pub sources: Vec<SourceCounts>,
    /// When the first outcome was recorded; null: there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_outcome_at: Option<OffsetDateTime>,
    /// When the last outcome was recorded; null: there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_outcome_at: Option<OffsetDateTime>,
    /// Outcomes per second between the first and the last one; null: they are less than a second apart.
    pub average_rate: Option<f64>,
    /// Outcomes per second between two readings just now; null: the batch is complete, or it was not measured.
    pub measured_rate: Option<f64>,
    /// The time between these readings.
    pub measured_seconds: Option<f64>,
    /// The targets that the batch has outcomes for.
    pub targets: Vec<String>,
    /// The learnt rates; a target that no worker has served yet has none.
    pub rates: Vec<LearntRate>,
    /// Sum of the configured quotas of these targets, in calls per second; null: one is in neither the ledger nor the
    /// settings.
    pub quota: Option<f64>,
    /// Sum of the learnt rates of these targets, in calls per second.
    pub learnt_rate: Option<f64>,
    /// How long outstanding and resent certificates take at the measured rate; null: unknown, missing, or stopped.
    pub seconds_left_at_measured_rate: Option<f64>,
    /// Minimum time they take at the learnt rate.
    pub seconds_left_at_learnt_rate: Option<f64>,
    /// Minimum time they take at the quota.
    pub seconds_left_at_quota: Option<f64>,
    /// How long all messages in the queues take at the learnt rate, if that is more.
    pub seconds_left_with_other_batches: Option<f64>,
}

/// Parked jobs that wait for one hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingFor {
    /// Key of the hold.
    pub hold: String,
    /// The hold, for people.
    pub what: String,
    /// The command that fixes it; null: it is released automatically.
    pub fix: Option<String>,
    /// Number of jobs, counted up to 100,000.
    pub n: u64,
}

/// The certificates that failed, or are parked, with one code.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureGroup {
    /// The code.
    pub code: &'static str,
    /// The status that belongs to it.
    pub status: String,
    /// Number of certificates.
    pub n: u64,
    /// One of them.
    pub example: Option<ShownFailure>,
}

/// An example of a failed or parked certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownFailure {
    /// The producer's name for the device.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Certificate id, or SHA-256 of the PEM text if it contains no readable certificate.
    pub subject: String,
    /// Why it failed, beyond the code.
    pub detail: Option<String>,
}

impl BatchReport {
    /// Builds the report from its inputs.
    pub fn of(facts: &StatusFacts<'_>) -> Self {
        let batch = facts.batch;
        let outcomes = || batch.counts.iter().filter(|count| count.status.is_outcome());
        let first = outcomes().map(|count| count.first_at).min();
        let last = outcomes().map(|count| count.last_at).max();
        let obstacles = if batch.is_complete() { vec![] } else { facts.obstacles() };
        let rates: Vec<_> = facts.rates.iter().map(LearntRate::from).collect();
        let pace = BatchPace::of(facts, &rates, &obstacles);
        Self {
            batch: facts.name.to_string(),
            obstacles,
            announced: batch.announced,
            finished: batch.finished(),
            outstanding: batch.outstanding(),
            missing: batch.missing(facts.queues_empty_for),
            queues_empty_seconds: facts.queues_empty_for.map(|time| time.as_secs()),
            parked: batch.parked(),
            being_resent: batch.being_resent(),
            waiting_for: batch.waiting.iter().map(WaitingFor::of).collect(),
            queue_messages: facts.situation.n_messages(),
            dead_letters: facts.situation.n_dead(),
            queues_read_seconds_ago: facts.situation.read_ago().map(|ago| ago.as_secs()),
            quarantined: facts.situation.facts.quarantined,
            by_status: outcome_statuses().map(|status| (status.to_string(), batch.with_status(status))).collect(),
            status_differs: batch.status_differs(),
            failures: by_code(batch, &facts.examples, |status| status.is_outcome() && !status.is_success()),
            parked_for: by_code(batch, &facts.examples, |status| !status.is_outcome()),
            sources: SourceCounts::of(&batch.counts),
            first_outcome_at: first.map(OffsetDateTime::truncate_to_second),
            last_outcome_at: last.map(OffsetDateTime::truncate_to_second),
            average_rate: first
                .zip(last)
                .and_then(|(first, last)| pace::rate(batch.finished(), (last - first).try_into().ok()?)),
            measured_rate: pace.measured,
            measured_seconds: facts.measured.map(|measured| measured.time.as_secs_f64()),
            targets: facts.targets(),
            rates,
            quota: pace.quota,
            learnt_rate: pace.learnt,
            seconds_left_at_measured_rate: pace.seconds_left(pace.measured),
            seconds_left_at_learnt_rate: pace.seconds_left(pace.learnt),
            seconds_left_at_quota: pace.seconds_left(pace.quota),
            seconds_left_with_other_batches: pace.seconds_left_with_other_batches(),
        }
    }

    /// Returns whether all work is stopped.
    pub fn is_stopped(&self) -> bool {
        self.obstacles.iter().any(|obstacle| obstacle.severity == Severity::Stopped)
    }

    /// Returns whether every announced certificate has an outcome.
    pub fn is_complete(&self) -> bool {
        self.outstanding == Some(0) && self.parked == 0
    }

    /// Returns whether any certificate failed or is missing.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty() || self.missing.is_some_and(|n| n > 0)
    }
}

/// Returns the statuses that are outcomes.
pub fn outcome_statuses() -> impl Iterator<Item = Status> {
    Status::VARIANTS.iter().copied().filter(|status| status.is_outcome())
}

impl WaitingFor {
    fn of(waiting: &WaitingJobs) -> Self {
        let WaitingJobs { hold, subject, n } = waiting;
        let Notice { title, fix } = Notice::of(hold, subject.as_deref());
        Self { hold: hold.to_string(), what: title, fix, n: *n }
    }

    /// Returns whether there may be more than counted.
    pub fn is_capped(&self) -> bool {
        self.n >= COUNTED_MAX
    }
}

/// Returns the counts of the wanted statuses by code, the most frequent first.
fn by_code(batch: &BatchStatus, examples: &[FailureExample], is_wanted: impl Fn(Status) -> bool) -> Vec<FailureGroup> {
    let mut counts: BTreeMap<Code, (Status, u64)> = BTreeMap::new();
    for count in batch.counts.iter().filter(|count| is_wanted(count.status)) {
        counts.entry(count.code).or_insert((count.status, 0)).1 += count.n;
    }
    let mut failures: Vec<_> =
        counts.into_iter().map(|(code, (status, n))| failure(code, status, n, examples)).collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.n));
    failures
}

fn failure(code: Code, status: Status, n: u64, examples: &[FailureExample]) -> FailureGroup {
    let show = |example: &FailureExample| ShownFailure {
        reference: example.reference.clone(),
        subject: hex::encode(example.subject),
        detail: example.detail.clone(),
    };
    let example = examples.iter().find(|example| example.code == code).map(show);
    FailureGroup { code: code.as_str(), status: status.to_string(), n, example }
}

#[cfg(test)]
mod tests;
