//! What was done to the messages of one dead-letter queue.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::cli::format::{grouped, printable};

/// What is done to messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    /// They are sent again; what is no job stays.
    Replay,
    /// They move to the quarantine of the ledger.
    Drop,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
pub(super) struct SweepTally {
    pub(super) queue: String,
    pub(super) deed: Deed,
    pub(super) dry_run: bool,
    /// How many it was done to.
    pub(super) done: u64,
    /// Those that were jobs, by batch.
    pub(super) batches: BTreeMap<String, u64>,
    /// Those that are no jobs, by reason: they were dropped, or stay.
    pub(super) no_job: BTreeMap<&'static str, u64>,
    /// Those that SQS did not take, by its code; they stay.
    pub(super) refused: BTreeMap<String, u64>,
    /// Those that SQS did not delete after it was done: they may be done again.
    pub(super) not_deleted: u64,
}

impl SweepTally {
    pub(super) fn new(queue: &str, deed: Deed, dry_run: bool) -> Self {
        Self {
            queue: queue.to_owned(),
            deed,
            dry_run,
            done: 0,
            batches: BTreeMap::new(),
            no_job: BTreeMap::new(),
            refused: BTreeMap::new(),
            not_deleted: 0,
        }
    }

    /// Notes one that it was done to.
    pub(super) fn did(&mut self, batch: Option<&str>) {
        self.done += 1;
        if let Some(batch) = batch {
            *self.batches.entry(batch.to_owned()).or_default() += 1;
        }
    }

    /// How many messages were looked at that were meant.
    pub(super) fn n_met(&self) -> u64 {
        let n_no_job = if self.deed == Deed::Replay { self.no_job.values().sum() } else { 0 };
        self.done + n_no_job + self.refused.values().sum::<u64>()
    }

    /// Says whether something stayed that was meant.
    pub(super) fn left_some(&self) -> bool {
        self.n_met() > self.done || self.not_deleted > 0
    }
}

impl fmt::Display for SweepTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match (self.deed, self.dry_run) {
            (Deed::Replay, false) => "sent again",
            (Deed::Replay, true) => "would be sent again",
            (Deed::Drop, false) => "moved to the quarantine",
            (Deed::Drop, true) => "would move to the quarantine",
        };
        writeln!(f, "{}: {} {done}", self.queue, grouped(self.done))?;
        for (batch, n) in &self.batches {
            writeln!(f, "{:>11}  of batch {}", grouped(*n), printable(batch))?;
        }
        let stays = if self.deed == Deed::Replay { ", stay" } else { "" };
        for (reason, n) in &self.no_job {
            writeln!(f, "{:>11}  no job, {reason}{stays}", grouped(*n))?;
        }
        for (code, n) in &self.refused {
            writeln!(f, "{:>11}  not taken by SQS, {}, stay", grouped(*n), printable(code))?;
        }
        if self.not_deleted > 0 {
            writeln!(f, "{:>11}  not deleted here afterwards: doing it twice is harmless", grouped(self.not_deleted))?;
        }
        Ok(())
    }
}
