//! Sweeps the dead-letter queues: resends or drops the selected messages.
//!
//! A message is deleted only after SQS accepted its copy or the ledger recorded its body. A crash in between repeats
//! the action, which is harmless: registration is idempotent by certificate id, and the quarantine keeps one row per
//! message.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::choice::DeadChoice;
use super::queues::{DeadQueue, DeadQueues, JobQueue};
use super::reading::DeadReading;
use super::tally::{SweepEffect, SweepTally};
use crate::aws::queue::{CALL_MAX, ReceivedMessage};
use crate::cli::change_flags::ChangeFlags;
use crate::cli::open_ledger::open_ledger;
use crate::cli::progress::Progress;
use crate::cli::{exit, signals, stdout, user};
use crate::config::Config;
use crate::ledger::audit::AuditAction;
use crate::ledger::quarantine::DROPPED;
use crate::ledger::{Ledger, Page, Quarantined};
use crate::operator::redrive::Redrive;
use muster_core::certificate::pem;
use muster_core::job::{Job, ParseError};

/// Visibility timeout of messages that stay in the queue, long enough that a sweep does not receive them twice.
const HIDDEN: Duration = Duration::from_mins(10);

/// The arguments of a sweep.
#[derive(Args, Debug)]
pub(super) struct SweepOrder {
    #[command(flatten)]
    choice: DeadChoice,
    /// Reads only the dead-letter queue of this job queue [default: both].
    #[arg(long, value_name = "QUEUE")]
    queue: Option<JobQueue>,
    #[command(flatten)]
    flags: ChangeFlags,
}

/// A message and the job it contains, or why it is not a job.
type SweptLetter = (ReceivedMessage, Result<Job, ParseError>);

/// The state of a sweep.
struct Sweep {
    effect: SweepEffect,
    order: SweepOrder,
    redrive: Redrive,
    ledger: Ledger,
    stop: CancellationToken,
    progress: Progress,
}

/// Asks for confirmation, sweeps every dead-letter queue, and prints the result.
pub(super) async fn run(effect: SweepEffect, order: SweepOrder, config: &Config) -> anyhow::Result<ExitCode> {
    let queues = DeadQueues::open(config, order.queue).await?;
    let verb = if effect == SweepEffect::Replay { "Resend" } else { "Drop" };
    let question = format!("{verb} {} of {}", order.choice.described(), queues.described());
    if let Some(unconfirmed) = order.flags.confirm(&question)? {
        return Ok(unconfirmed);
    }
    let ledger = open_ledger(config).await?;
    let redrive = Redrive::new(config, queues.resend_queue.clone());
    let sweep = Sweep { effect, order, redrive, ledger, stop: signals::stop_token()?, progress: Progress::new() };
    let mut tallies = Vec::new();
    let swept = sweep.all(&queues.dead, &mut tallies).await;
    sweep.progress.done();
    sweep.ledger.close().await;
    sweep.print(&tallies)?;
    swept?;
    Ok(sweep.exit_code(&tallies))
}

impl Sweep {
    async fn all(&self, dead: &[DeadQueue], tallies: &mut Vec<SweepTally>) -> anyhow::Result<()> {
        for dead in dead {
            let mut tally = SweepTally::new(dead.name(), self.effect, self.order.flags.dry_run);
            let mut reading = DeadReading::new(dead.queue.clone(), HIDDEN, self.stop.clone());
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
        let n_named = self.order.choice.n_named().map(|n| n as u64);
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
                |(message, job): &SweptLetter| self.order.choice.is_selected(&message.id, job.as_ref().ok());
            let letters: Vec<SweptLetter> = letters.filter(is_selected).collect();
            match self.effect {
                SweepEffect::Replay => self.replay(&letters, reading, tally).await?,
                SweepEffect::Drop => self.drop(dead, &letters, reading, tally).await?,
            }
            self.progress.show(tally.n_found(), Some(dead.attributes.messages()), "dead letters");
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
        if self.order.flags.dry_run {
            for (_, job) in jobs {
                tally.count_done(Some(job.batch.as_str()));
            }
            return Ok(());
        }
        let bodies: Vec<_> = jobs.iter().map(|(message, job)| (*job, message.body.as_str())).collect();
        self.ledger.note_activity().await?;
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
        if !self.order.flags.dry_run {
            let quarantined = letters.iter().map(|letter| quarantined(dead, letter)).collect();
            self.ledger.record(&Page { quarantined, ..Page::default() }).await?;
        }
        for (_, job) in letters {
            tally.count_done(job.as_ref().ok().map(|job| job.batch.as_str()));
            if let Err(error) = job {
                *tally.not_jobs.entry(error.code()).or_default() += 1;
            }
        }
        if !self.order.flags.dry_run {
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
            "chosen": self.order.choice.audited(),
            "done": tally.done,
            "batches": tally.batches,
            "not_jobs": tally.not_jobs,
            "refused": tally.refused,
            "sent_to": (tally.effect == SweepEffect::Replay).then(|| self.redrive.queue().url()),
        });
        let action = if tally.effect == SweepEffect::Replay { "dead replay" } else { "dead drop" };
        let (who, what) = (user::who(), dead.queue.url());
        Ok(self.ledger.audit(&AuditAction { who: &who, action, what, detail }).await?)
    }

    fn print(&self, tallies: &[SweepTally]) -> anyhow::Result<()> {
        if self.order.flags.json {
            stdout::print_json(tallies)?;
        } else {
            for tally in tallies {
                stdout::print(tally)?;
            }
        }
        let n_missing = self.n_missing(tallies);
        if n_missing > 0 && !self.stop.is_cancelled() {
            self.progress.say(&format!(
                "{n_missing} of the named messages were not found: they are gone, or held by another consumer"
            ));
        }
        Ok(())
    }

    /// Returns how many of the named messages were not found.
    fn n_missing(&self, tallies: &[SweepTally]) -> u64 {
        let n_named = self.order.choice.n_named().unwrap_or_default() as u64;
        n_named.saturating_sub(tallies.iter().map(SweepTally::n_found).sum())
    }

    fn exit_code(&self, tallies: &[SweepTally]) -> ExitCode {
        if self.stop.is_cancelled() {
            self.progress.say("interrupted: run the same command again to continue");
            return exit::INTERRUPTED.into();
        }
        let have_some_stayed = tallies.iter().any(SweepTally::has_leftovers) || self.n_missing(tallies) > 0;
        if have_some_stayed && !self.order.flags.dry_run { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS }
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
