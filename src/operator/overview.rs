//! The overview of the fleet: one sentence about what is going on, and the facts behind it.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::fleet::{QueueLine, WorkerLine};
use super::history::{ChartRange, History};
use super::situation::{Obstacle, Severity, Situation};
use super::status::LearntRate;
use crate::ledger::{Ledger, LedgerError};
use muster_core::format::{grouped, rate, time_for};

/// Complete minutes over which the current rate is averaged.
const MINUTES: i64 = 5;

/// What is going on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// When the ledger was read.
    #[serde(with = "time::serde::rfc3339")]
    pub read_at: OffsetDateTime,
    /// Whether the work is stopped, in progress, or done.
    pub state: WorkState,
    /// What is going on, in one sentence.
    pub sentence: String,
    /// What stops or slows the work, the worst first, each with what fixes it.
    pub obstacles: Vec<Obstacle>,
    /// Messages in all queues. Null: unknown.
    pub queue_messages: Option<u64>,
    /// How long ago the queues were read. Null: never.
    pub queues_read_seconds_ago: Option<u64>,
    /// Outcomes per second, averaged over the last five complete minutes of work. Null: not known yet.
    pub rate: Option<f64>,
    /// The quota of all targets, in calls per second.
    pub quota: f64,
    /// When the queues will be empty at this rate. Null: unknown.
    #[serde(with = "time::serde::rfc3339::option")]
    pub done_at: Option<OffsetDateTime>,
    /// Certificates that failed in the last 24 hours. Null: the history is shorter and has not begun.
    pub failed_last_day: Option<u64>,
    /// Missing certificates of all batches. Null: unknown, as messages may be on their way.
    pub missing: Option<u64>,
    /// Parked jobs, including those being resent.
    pub parked: u64,
    /// Messages in the dead-letter queues. Null: unknown.
    pub dead_letters: Option<u64>,
    /// Messages in the quarantine, counted up to a million.
    pub quarantined: u64,
    /// The workers that reported in the last day.
    pub workers: Vec<WorkerLine>,
    /// The last reading of each queue.
    pub queues: Vec<QueueLine>,
    /// The quota and learnt rate of each target and operation.
    pub rates: Vec<LearntRate>,
}

/// The state of the work.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// Nothing is registered until somebody acts.
    Stopped,
    /// There are messages in the queues.
    Working,
    /// The queues are empty.
    Idle,
    /// Nobody knows what the queues hold.
    Unknown,
}

impl Overview {
    /// Reads the overview from the ledger.
    pub async fn read(ledger: &Ledger) -> Result<Self, LedgerError> {
        let situation = Situation::read(ledger).await?;
        let hour = History::read(ledger, ChartRange::Hour).await?;
        let day = History::read(ledger, ChartRange::Day).await?;
        let rates = ledger.all_rate_reports().await?;
        let obstacles = situation.obstacles();
        let mut overview = Self {
            read_at: hour.read_at,
            state: WorkState::of(&obstacles, situation.n_messages()),
            sentence: String::new(),
            queue_messages: situation.n_messages(),
            queues_read_seconds_ago: situation.read_ago().map(|ago| ago.as_secs()),
            rate: current_rate(&hour),
            quota: hour.quota,
            done_at: None,
            failed_last_day: day.began_at.map(|_| day.points.iter().map(|point| point.failed).sum()),
            missing: situation.facts.missing,
            parked: situation.facts.parked.values().sum(),
            dead_letters: situation.n_dead(),
            quarantined: situation.facts.quarantined,
            workers: situation.workers.iter().map(WorkerLine::of).collect(),
            queues: situation.queues.iter().map(QueueLine::of).collect(),
            rates: rates.iter().map(LearntRate::from).collect(),
            obstacles,
        };
        overview.done_at = overview.done_at();
        overview.sentence = overview.in_one_sentence();
        Ok(overview)
    }

    /// Returns when the queues will be empty at the current rate, unless the work is stopped.
    fn done_at(&self) -> Option<OffsetDateTime> {
        let time: Duration = time_for(self.queue_messages?, self.rate?)?;
        (self.state == WorkState::Working).then(|| self.read_at.checked_add(time.try_into().ok()?)).flatten()
    }

    fn in_one_sentence(&self) -> String {
        let stop = self.obstacles.first().filter(|worst| worst.severity == Severity::Stopped);
        if let Some(stop) = stop {
            return format!("Stopped: {}.", stop.what);
        }
        format!("{}; {}.", self.progress(), self.losses())
    }

    /// Describes how far the work is, without the time at which it will be done.
    pub fn progress(&self) -> String {
        match (self.state, self.queue_messages, self.rate) {
            (WorkState::Working, Some(n), Some(now)) => {
                format!("Registering {} certificates at {}/s", grouped(n), rate(now))
            }
            (WorkState::Working, Some(n), None) => {
                format!("Registering {} certificates, at most {}/s", grouped(n), rate(self.quota))
            }
            (WorkState::Idle, ..) => "The queues are empty".to_owned(),
            _ => "What the queues hold is unknown".to_owned(),
        }
    }

    /// Describes what failed and what is missing.
    pub fn losses(&self) -> String {
        let failed = self.failed_last_day.map_or_else(|| "an unknown number".to_owned(), grouped);
        let missing =
            self.missing.map_or_else(|| "missing not yet known".to_owned(), |n| format!("{} missing", grouped(n)));
        format!("{failed} failed in the last 24 hours, {missing}")
    }
}

impl WorkState {
    fn of(obstacles: &[Obstacle], n_messages: Option<u64>) -> Self {
        match n_messages {
            _ if obstacles.iter().any(|obstacle| obstacle.severity == Severity::Stopped) => Self::Stopped,
            Some(0) => Self::Idle,
            Some(_) => Self::Working,
            None => Self::Unknown,
        }
    }
}

/// Returns the outcomes per second over the last complete minutes, beginning with the first one that follows a minute
/// with outcomes: the minute in which work starts is only partly used.
#[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
fn current_rate(hour: &History) -> Option<f64> {
    let minute = time::Duration::MINUTE;
    let now = hour.read_at - time::Duration::seconds(i64::from(hour.read_at.second()));
    let outcomes = |at: OffsetDateTime| {
        hour.points.iter().find(|point| point.at == at).map_or(0, super::history::ChartPoint::n_outcomes)
    };
    let complete = (1..=MINUTES).rev().map(|n| now - minute * i32::try_from(n).unwrap_or(i32::MAX));
    let counted: Vec<u64> = complete.skip_while(|&at| outcomes(at - minute) == 0).map(outcomes).collect();
    (!counted.is_empty()).then(|| counted.iter().sum::<u64>() as f64 / (counted.len() as f64 * 60.0))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::operator::history::ChartPoint;

    /// Returns an hour, read at 12:10:30, with the given outcomes in the minutes before 12:10.
    fn hour(outcomes: &[(i32, u64)]) -> History {
        let noon = datetime!(2026-11-28 12:10 UTC);
        let point = |&(minutes_ago, registered): &(i32, u64)| {
            let at = noon - time::Duration::MINUTE * minutes_ago;
            ChartPoint { at, registered, already_registered: 0, failed: 0, parked: 0, throttled: 0 }
        };
        History {
            range: ChartRange::Hour,
            read_at: datetime!(2026-11-28 12:10:30 UTC),
            point_seconds: 60,
            began_at: None,
            points: outcomes.iter().map(point).collect(),
            quota: 10.0,
        }
    }

    #[test]
    fn the_rate_covers_complete_minutes_after_the_first_one_of_work() {
        assert_eq!(current_rate(&hour(&[])), None);
        assert_eq!(current_rate(&hour(&[(0, 300)])), None, "a minute in progress");
        assert_eq!(current_rate(&hour(&[(1, 300), (0, 300)])), None, "the minute in which work started");
        assert_eq!(current_rate(&hour(&[(2, 100), (1, 600), (0, 300)])), Some(10.0));
        let steady: Vec<_> = (0..10).map(|minutes_ago| (minutes_ago, 540)).collect();
        assert_eq!(current_rate(&hour(&steady)), Some(9.0));
        assert_eq!(current_rate(&hour(&[(3, 600), (2, 600)])), Some(5.0), "a minute without outcomes counts");
    }
}
