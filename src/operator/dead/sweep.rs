//! Sweeps the dead-letter queues: resends or drops the selected messages.
//!
//! A message is deleted only after SQS accepted its copy or the ledger recorded its body. A crash in between repeats
//! the action, which is harmless: registration is idempotent by certificate id, and the quarantine keeps one row per
//! message.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::queues::{DeadQueue, DeadQueues};
use super::reading::DeadReading;
use super::selection::DeadSelection;
use super::tally::{SweepEffect, SweepTally};
use crate::aws::queue::{CALL_MAX, ReceivedMessage};
use crate::config::Config;
use crate::ledger::audit::AuditAction;
use crate::ledger::quarantine::DROPPED;
use crate::ledger::{Ledger, Page, Quarantined};
use crate::operator::long_task::{TaskControl, TaskCounts};
use crate::operator::redrive::Redrive;
use muster_core::certificate::pem;
use muster_core::job::{Job, ParseError};

/// Visibility timeout of messages that stay in the queue, long enough that a sweep does not receive them twice.
const HIDDEN: Duration = Duration::from_mins(10);

/// A message and the job it contains, or why it is not a job.
type SweptLetter = (ReceivedMessage, Result<Job, ParseError>);

/// A sweep: what to do to which messages, and who wants it.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// What to do.
    pub effect: SweepEffect,
    /// Which messages.
    pub selection: &'a DeadSelection,
    /// Whether only to count what would be done.
    pub dry_run: bool,
    /// Who wants it, for the audit.
    pub who: &'a str,
    /// The ledger.
    pub ledger: &'a Ledger,
}

/// A sweep in progress.
struct Sweeping<'a> {
    sweep: &'a Sweep<'a>,
    redrive: Redrive,
    control: &'a TaskControl,
}

impl Sweep<'_> {
    /// Sweeps every dead-letter queue. The tallies, one for each queue, are valid even after an error.
    pub async fn run(
        &self,
        config: &Config,
        queues: &DeadQueues,
        control: &TaskControl,
    ) -> (Vec<SweepTally>, anyhow::Result<()>) {
        let redrive = Redrive::new(config, queues.resend_queue.clone());
        let mut tallies = Vec::new();
        let result = Sweeping { sweep: self, redrive, control }.all(&queues.dead, &mut tallies).await;
        (tallies, result)
    }
}

impl Sweeping<'_> {
    async fn all(&self, dead: &[DeadQueue], tallies: &mut Vec<SweepTally>) -> anyhow::Result<()> {
        for dead in dead {
            let mut tally = SweepTally::new(dead.name(), self.sweep.effect, self.sweep.dry_run);
            let mut reading = DeadReading::new(dead.queue.clone(), HIDDEN, self.control.stop().clone());
            let swept = self.sweep(dead, &mut reading, &mut tally).await;
            reading.release().await;
            // Recorded even if the sweep failed halfway.
            let audited = self.audit(dead, &tally).await;
            tallies.push(tally);
            swept?;
            audited?;
        }
        Ok(())
    }

    /// Sweeps one queue until every selected message was found or the queue is empty.
    async fn sweep(&self, dead: &DeadQueue, reading: &mut DeadReading, tally: &mut SweepTally) -> anyhow::Result<()> {
        let n_named = self.sweep.selection.n_named().map(|n| n as u64);
        while n_named.is_none_or(|n| tally.n_found() < n) {
            let messages = reading.next(CALL_MAX).await?;
            if messages.is_empty() {
                break;
            }
            let letters = messages.into_iter().map(|message| {
                let read = self.redrive.read(&message.body);
                (message, read)
            });
            let is_selected =
                |(message, job): &SweptLetter| self.sweep.selection.is_selected(&message.id, job.as_ref().ok());
            let letters: Vec<SweptLetter> = letters.filter(is_selected).collect();
            match self.sweep.effect {
                SweepEffect::Replay => self.replay(&letters, reading, tally).await?,
                SweepEffect::Drop => self.drop(dead, &letters, reading, tally).await?,
            }
            self.control.report(TaskCounts { n_done: tally.done, n_failed: tally.n_found() - tally.done });
        }
        Ok(())
    }

    /// Resends the messages that are jobs and deletes those that SQS accepted.
    async fn replay(
        &self,
        letters: &[SweptLetter],
        reading: &mut DeadReading,
        tally: &mut SweepTally,
    ) -> anyhow::Result<()> {
        let mut jobs = Vec::with_capacity(letters.len());
        for (message, job) in letters {
            match job {
                Ok(job) => jobs.push((message, job)),
                Err(error) => *tally.not_jobs.entry(error.code()).or_default() += 1,
            }
        }
        if self.sweep.dry_run {
            for (_, job) in jobs {
                tally.count_done(Some(job.batch.as_str()));
            }
            return Ok(());
        }
        let bodies: Vec<_> = jobs.iter().map(|(message, job)| (*job, message.body.as_str())).collect();
        self.sweep.ledger.note_activity().await?;
        let sent = self.redrive.send(&bodies).await;
        let mut taken = Vec::with_capacity(jobs.len());
        for ((message, job), result) in jobs.into_iter().zip(sent.results) {
            match result {
                Ok(()) => {
                    tally.count_done(Some(job.batch.as_str()));
                    taken.push(message);
                }
                Err(error) => *tally.refused.entry(error.code).or_default() += 1,
            }
        }
        tally.not_deleted += reading.delete(&taken).await?;
        sent.error.map_or(Ok(()), |error| Err(error).context("cannot resend jobs"))
    }

    /// Records the messages in the quarantine, then deletes them.
    async fn drop(
        &self,
        dead: &DeadQueue,
        letters: &[SweptLetter],
        reading: &mut DeadReading,
        tally: &mut SweepTally,
    ) -> anyhow::Result<()> {
        if !self.sweep.dry_run {
            let quarantined = letters.iter().map(|letter| quarantined(dead, letter)).collect();
            self.sweep.ledger.record(&Page { quarantined, ..Page::default() }).await?;
        }
        for (_, job) in letters {
            tally.count_done(job.as_ref().ok().map(|job| job.batch.as_str()));
            if let Err(error) = job {
                *tally.not_jobs.entry(error.code()).or_default() += 1;
            }
        }
        if !self.sweep.dry_run {
            tally.not_deleted +=
                reading.delete(&letters.iter().map(|(message, _)| message).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn audit(&self, dead: &DeadQueue, tally: &SweepTally) -> anyhow::Result<()> {
        if tally.dry_run || tally.n_found() == 0 {
            return Ok(());
        }
        let detail = json!({
            "chosen": self.sweep.selection.audited(),
            "done": tally.done,
            "batches": tally.batches,
            "not_jobs": tally.not_jobs,
            "refused": tally.refused,
            "sent_to": (tally.effect == SweepEffect::Replay).then(|| self.redrive.queue().url()),
        });
        let action = if tally.effect == SweepEffect::Replay { "dead replay" } else { "dead drop" };
        let (who, what) = (self.sweep.who, dead.queue.url());
        Ok(self.sweep.ledger.audit(&AuditAction { who, action, what, detail }).await?)
    }
}

fn quarantined(dead: &DeadQueue, (message, job): &SweptLetter) -> Quarantined {
    let detail = match job {
        Ok(job) => format!("a job of batch {}, dropped from the dead-letter queue by hand", job.batch),
        Err(error) => format!("dropped from the dead-letter queue by hand; {error}"),
    };
    Quarantined {
        queue: dead.queue.url().to_owned(),
        message_id: message.id.clone(),
        reason: DROPPED,
        detail,
        body: pem::blank_private_keys(&message.body),
        sent_at: message.sent_at,
    }
}
