//! The parts of the fleet: workers, queues and rates.

use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::queue_readings::{FRESH, QueueReport};
use crate::ledger::workers::WorkerReport;
use crate::ledger::{Ledger, LedgerError};
use crate::operator::status::LearntRate;

/// A worker that reported in the last day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkerLine {
    /// Name of its host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Version of Muster.
    pub version: String,
    /// Whether it reported within the last seconds.
    pub is_alive: bool,
    /// How long ago it first reported.
    pub started_seconds_ago: u64,
    /// How long ago it last reported.
    pub seen_seconds_ago: u64,
    /// The circuit breakers that were open when it last reported.
    pub breakers: Vec<BreakerLine>,
}

/// An open circuit breaker of a worker.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BreakerLine {
    /// Its kind, such as `auth` or `postgres`.
    pub breaker: String,
    /// What it concerns, such as an operation of a target.
    pub what: String,
    /// Why it opened.
    pub reason: String,
}

/// The last reading of a job queue and its dead-letter queue.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueLine {
    /// URL of the main queue; the second one is read with it.
    pub queue: String,
    /// How long ago they were read.
    pub read_seconds_ago: u64,
    /// Whether the reading is recent enough to be used.
    pub is_fresh: bool,
    /// Messages in both queues. Null: unknown.
    pub messages: Option<u64>,
    /// Messages in their dead-letter queues. Null: unknown, or there is none.
    pub dead_letters: Option<u64>,
}

/// Lists the workers that reported in the last day, the latest report first.
pub async fn workers(ledger: &Ledger) -> Result<Vec<WorkerLine>, LedgerError> {
    Ok(ledger.workers().await?.iter().map(WorkerLine::of).collect())
}

/// Lists the last reading of each queue.
pub async fn queues(ledger: &Ledger) -> Result<Vec<QueueLine>, LedgerError> {
    Ok(ledger.queue_reports().await?.iter().map(QueueLine::of).collect())
}

/// Lists the quota and the learnt rate of every target and operation that a worker has served.
pub async fn rates(ledger: &Ledger) -> Result<Vec<LearntRate>, LedgerError> {
    Ok(ledger.all_rate_reports().await?.iter().map(LearntRate::from).collect())
}

impl WorkerLine {
    pub(super) fn of(worker: &WorkerReport) -> Self {
        let breakers = worker.troubles.iter().map(|trouble| BreakerLine {
            breaker: trouble.breaker.to_string(),
            what: trouble.what.clone(),
            reason: trouble.reason.clone(),
        });
        Self {
            host: worker.host.clone(),
            pid: worker.pid,
            version: worker.version.clone(),
            is_alive: worker.is_alive(),
            started_seconds_ago: worker.started_ago.as_secs(),
            seen_seconds_ago: worker.seen_ago.as_secs(),
            breakers: breakers.collect(),
        }
    }
}

impl QueueLine {
    pub(super) fn of(report: &QueueReport) -> Self {
        Self {
            queue: report.queue.clone(),
            read_seconds_ago: report.read_ago.as_secs(),
            is_fresh: report.read_ago < FRESH,
            messages: report.n_messages,
            dead_letters: report.n_dead,
        }
    }
}
