//! The state of the fleet, and a line per batch.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::unknown::UnknownBatch;
use crate::ledger::Ledger;
use crate::ledger::batch::{BatchFilter, BatchLine};
use crate::operator::situation::{Obstacle, Severity, Situation};
use muster_core::format::{counted, grouped, printable, rfc3339};
use muster_core::job::Name;

/// The column titles.
const TITLES: [&str; 8] =
    ["batch", "announced", "outcomes", "failed", "parked", "outstanding", "first outcome", "last outcome"];

/// The state of the fleet and a page of batches, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchListing {
    /// What stops or slows the work, the worst first.
    pub obstacles: Vec<Obstacle>,
    /// Workers that reported within the last seconds.
    pub workers_alive: u64,
    /// Messages in all queues; null: unknown.
    pub queue_messages: Option<u64>,
    /// Messages in the dead-letter queues; null: unknown.
    pub dead_letters: Option<u64>,
    /// How long ago the queues were read; null: never.
    pub queues_read_seconds_ago: Option<u64>,
    /// Messages in the quarantine.
    pub quarantined: u64,
    /// Missing certificates of all batches; null: unknown, as messages may be on their way.
    pub missing: Option<u64>,
    /// The state of the fleet in one line.
    pub summary: String,
    /// The batches, the newest first.
    pub batches: Vec<ListedBatch>,
    /// The next page begins before this batch; null: there is none.
    pub next: Option<String>,
}

/// The progress of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedBatch {
    /// Name of the batch.
    pub batch: String,
    /// How many distinct certificates the producer announced; null: it announced none.
    pub announced: Option<u64>,
    /// Certificates with an outcome.
    pub finished: u64,
    /// How many of these failed.
    pub failed: u64,
    /// Parked: waiting for an open hold, or being resent.
    pub parked: u64,
    /// Announced, without an outcome and not parked; null: the producer did not announce how many there are.
    pub outstanding: Option<u64>,
    /// How many of these are missing; null if unknown, because messages may still be on their way.
    pub missing: Option<u64>,
    /// When the first outcome was recorded; null: there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_outcome_at: Option<OffsetDateTime>,
    /// When the last outcome was recorded; null: there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_outcome_at: Option<OffsetDateTime>,
}

impl BatchListing {
    /// Reads a page.
    ///
    /// # Errors
    /// [`UnknownBatch`] if the batch `before` does not exist, or a ledger error.
    pub async fn read(
        ledger: &Ledger,
        filter: &BatchFilter,
        before: Option<&Name>,
        limit: u32,
    ) -> anyhow::Result<Self> {
        let situation = Situation::read(ledger).await?;
        let empty_for = ledger.queues_empty_for().await?;
        // One more row shows whether there is a next page.
        let lines = ledger.batch_lines(filter, before.map(Name::as_str), limit + 1).await?;
        let lines = match (lines, before) {
            (None, Some(before)) => return Err(UnknownBatch::of(ledger, before).await?.into()),
            (lines, _) => lines.unwrap_or_default(),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = lines.len() > limit;
        let batches: Vec<_> = lines.into_iter().take(limit).map(|line| ListedBatch::of(line, empty_for)).collect();
        let next = batches.last().filter(|_| has_more).map(|line| line.batch.clone());
        Ok(Self {
            obstacles: situation.obstacles(),
            workers_alive: situation.alive().count() as u64,
            queue_messages: situation.n_messages(),
            dead_letters: situation.n_dead(),
            queues_read_seconds_ago: situation.read_ago().map(|ago| ago.as_secs()),
            quarantined: situation.facts.quarantined,
            missing: situation.facts.missing,
            summary: situation.summary(),
            batches,
            next,
        })
    }

    /// Returns the totals in one line.
    pub fn line(&self) -> String {
        if let Some(worst) = self.obstacles.first().filter(|worst| worst.severity == Severity::Stopped) {
            return format!("stopped: {}", worst.what);
        }
        let sum = |count: fn(&ListedBatch) -> u64| grouped(self.batches.iter().map(count).sum());
        format!(
            "{}: {} outcomes, {} failed, {} parked, {} outstanding",
            counted(self.batches.len() as u64, "batch", "batches"),
            sum(|line| line.finished),
            sum(|line| line.failed),
            sum(|line| line.parked),
            sum(|line| line.outstanding.unwrap_or(0)),
        )
    }
}

impl ListedBatch {
    fn of(line: BatchLine, empty_for: Option<Duration>) -> Self {
        let (outstanding, missing) = (line.outstanding(), line.missing(empty_for));
        Self {
            batch: line.batch,
            announced: line.announced,
            finished: line.finished,
            failed: line.failed,
            parked: line.parked,
            outstanding,
            missing,
            first_outcome_at: line.first_at.map(OffsetDateTime::truncate_to_second),
            last_outcome_at: line.last_at.map(OffsetDateTime::truncate_to_second),
        }
    }

    fn cells(&self) -> [String; 8] {
        let unknown = || "?".to_owned();
        let outstanding = match (self.missing.filter(|&n| n > 0), self.outstanding) {
            (Some(missing), _) => format!("{} missing", grouped(missing)),
            (None, outstanding) => outstanding.map_or_else(unknown, grouped),
        };
        [
            printable(&self.batch),
            self.announced.map_or_else(unknown, grouped),
            grouped(self.finished),
            grouped(self.failed),
            grouped(self.parked),
            outstanding,
            self.first_outcome_at.map_or_else(String::new, rfc3339),
            self.last_outcome_at.map_or_else(String::new, rfc3339),
        ]
    }
}

impl fmt::Display for BatchListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for obstacle in &self.obstacles {
            write!(f, "{obstacle}")?;
        }
        writeln!(f, "{}\n", self.summary)?;
        if self.batches.is_empty() {
            return writeln!(f, "no batches");
        }
        let mut table = vec![TITLES.map(str::to_owned)];
        table.extend(self.batches.iter().map(ListedBatch::cells));
        let width = |i: usize| table.iter().map(|cells| cells[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        table.iter().try_for_each(|cells| write_line(f, cells, &widths))
    }
}

/// Writes a line with left-aligned names and times, and right-aligned numbers.
fn write_line(f: &mut fmt::Formatter<'_>, cells: &[String; 8], widths: &[usize; 8]) -> fmt::Result {
    let pad = |i: usize| {
        let (cell, width) = (&cells[i], widths[i]);
        if (1..=5).contains(&i) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    };
    let line: [String; 8] = std::array::from_fn(pad);
    writeln!(f, "{}", line.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn listing(empty_for: Option<Duration>) -> BatchListing {
        let line = |batch: &str, announced| BatchLine {
            batch: batch.to_owned(),
            announced,
            announced_ago: None,
            finished: 6_000,
            failed: 60,
            parked: 12,
            first_at: Some(datetime!(2026-11-21 10:00:00.25 UTC)),
            last_at: Some(datetime!(2026-11-21 10:10:00.25 UTC)),
        };
        let lines = [line("line7-2026-11-21-a", Some(120_000)), line("rework", None)];
        BatchListing {
            obstacles: vec![],
            workers_alive: 1,
            queue_messages: Some(7),
            dead_letters: None,
            queues_read_seconds_ago: Some(9),
            quarantined: 0,
            missing: Some(0),
            summary: "the fleet".to_owned(),
            batches: lines.map(|line| ListedBatch::of(line, empty_for)).into(),
            next: None,
        }
    }

    #[test]
    fn batches_are_listed_in_aligned_columns() {
        let expected = "\
the fleet

batch               announced  outcomes  failed  parked  outstanding  first outcome         last outcome
line7-2026-11-21-a    120,000     6,000      60      12      113,988  2026-11-21T10:00:00Z  2026-11-21T10:10:00Z
rework                      ?     6,000      60      12            ?  2026-11-21T10:00:00Z  2026-11-21T10:10:00Z
";
        assert_eq!(listing(None).to_string(), expected);
    }

    #[test]
    fn missing_certificates_are_shown_as_missing() {
        let text = listing(Some(Duration::from_mins(3))).to_string();
        assert!(text.contains("  113,988 missing  "), "{text}");
    }
}
