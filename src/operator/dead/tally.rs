//! Counts what was done to the messages of one dead-letter queue.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use muster_core::format::{grouped, printable};

/// What to do with messages.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepEffect {
    /// Resend the jobs; messages that are not jobs stay.
    Replay,
    /// Move them to the ledger's quarantine.
    Drop,
}

/// What was done or, in a dry run, would be done.
#[derive(Clone, Debug, Serialize)]
pub struct SweepTally {
    /// Name of the queue.
    pub queue: String,
    /// What was done.
    pub effect: SweepEffect,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Number of messages resent or dropped.
    pub done: u64,
    /// How many of these are jobs, by batch.
    pub batches: BTreeMap<String, u64>,
    /// Messages that are not jobs, by reason: dropped, or left in the queue by a replay.
    pub not_jobs: BTreeMap<&'static str, u64>,
    /// Messages that SQS refused, by its code; they stay in the queue.
    pub refused: BTreeMap<String, u64>,
    /// Messages that SQS did not delete afterwards: they may be processed again.
    pub not_deleted: u64,
}

impl SweepTally {
    pub(super) fn new(queue: &str, effect: SweepEffect, dry_run: bool) -> Self {
        Self {
            queue: queue.to_owned(),
            effect,
            dry_run,
            done: 0,
            batches: BTreeMap::new(),
            not_jobs: BTreeMap::new(),
            refused: BTreeMap::new(),
            not_deleted: 0,
        }
    }

    /// Counts a message that was resent or dropped.
    pub(super) fn count_done(&mut self, batch: Option<&str>) {
        self.done += 1;
        if let Some(batch) = batch {
            *self.batches.entry(batch.to_owned()).or_default() += 1;
        }
    }

    /// Returns the number of selected messages found.
    pub fn n_found(&self) -> u64 {
        let n_not_jobs = if self.effect == SweepEffect::Replay { self.not_jobs.values().sum() } else { 0 };
        self.done + n_not_jobs + self.refused.values().sum::<u64>()
    }

    /// Returns whether any selected message stayed in the queue.
    pub fn has_leftovers(&self) -> bool {
        self.n_found() > self.done || self.not_deleted > 0
    }
}

impl fmt::Display for SweepTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match (self.effect, self.dry_run) {
            (SweepEffect::Replay, false) => "resent",
            (SweepEffect::Replay, true) => "would be resent",
            (SweepEffect::Drop, false) => "moved to the quarantine",
            (SweepEffect::Drop, true) => "would be moved to the quarantine",
        };
        writeln!(f, "{}: {} {done}", self.queue, grouped(self.done))?;
        for (batch, n) in &self.batches {
            writeln!(f, "{:>11}  of batch {}", grouped(*n), printable(batch))?;
        }
        let stays = if self.effect == SweepEffect::Replay { ", stay" } else { "" };
        for (reason, n) in &self.not_jobs {
            writeln!(f, "{:>11}  not a job, {reason}{stays}", grouped(*n))?;
        }
        for (code, n) in &self.refused {
            writeln!(f, "{:>11}  refused by SQS, {}, stay", grouped(*n), printable(code))?;
        }
        if self.not_deleted > 0 {
            writeln!(
                f,
                "{:>11}  not deleted afterwards: processing them twice is harmless",
                grouped(self.not_deleted)
            )?;
        }
        Ok(())
    }
}
