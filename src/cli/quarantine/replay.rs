//! `muster quarantine replay`: resends the messages that are valid jobs now.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::choice::{QuarantineChoice, described};
use crate::aws::identity;
use crate::aws::queue::Queue;
use crate::cli::change_flags::ChangeFlags;
use crate::cli::format::{grouped, printable};
use crate::cli::progress::Progress;
use crate::cli::{exit, signals, stdout, user};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;
use crate::ledger::quarantine::Body;
use crate::operator::redrive::Redrive;

/// Bodies read at a time: as many as one SQS call accepts, at most 10 MiB.
const PAGE: u32 = 10;

/// Resends the quarantined messages that are valid jobs for this version and these settings.
///
/// They are sent to the second queue (`queue.replay`) or, if there is none, to `queue.name`, and removed from the
/// quarantine afterwards. A crash in between sends a message twice, which is harmless. Other messages stay and are
/// counted by reason. Exits with 3 if any message stayed.
#[derive(Args, Debug)]
pub(super) struct ReplayQuarantined {
    #[command(flatten)]
    choice: QuarantineChoice,
    #[command(flatten)]
    flags: ChangeFlags,
}

/// What was done or, in a dry run, would be done.
#[derive(Debug, Default, Serialize)]
struct ReplayTally {
    dry_run: bool,
    /// Number of messages resent.
    sent: u64,
    /// Messages resent, by batch.
    batches: BTreeMap<String, u64>,
    /// Messages left in the quarantine, by the reason they are not jobs or by SQS's error code.
    stay: BTreeMap<String, u64>,
}

impl ReplayQuarantined {
    /// Counts, asks for confirmation and resends.
    pub(super) async fn run(self, config: &Config, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let by_reason = ledger.quarantined_by_reason(self.choice.chosen()).await?;
        let n = by_reason.iter().map(|(_, n)| n).sum();
        let question = format!("Of {}, resend those that are jobs now", described(&by_reason));
        if n > 0
            && let Some(unconfirmed) = self.flags.confirm(&question)?
        {
            return Ok(unconfirmed);
        }
        let (stop, progress) = (signals::stop_token()?, Progress::new());
        let redrive = Redrive::new(config, open(config).await?);
        let mut tally = ReplayTally { dry_run: self.flags.dry_run, ..ReplayTally::default() };
        let mut show = |tally: &ReplayTally| progress.show(tally.n(), Some(n), "messages");
        let sent = self.send(ledger, &redrive, &stop, &mut tally, &mut show).await;
        progress.done();
        // Recorded even if sending failed halfway.
        self.audit(ledger, &redrive, &tally).await?;
        self.print(&tally)?;
        sent?;
        Ok(if stop.is_cancelled() {
            progress.say("interrupted: run the same command again to continue");
            exit::INTERRUPTED.into()
        } else if tally.stay.is_empty() || self.flags.dry_run {
            ExitCode::SUCCESS
        } else {
            exit::SOME_FAILED.into()
        })
    }

    /// Resends all selected messages, page by page.
    async fn send(
        &self,
        ledger: &Ledger,
        redrive: &Redrive,
        stop: &CancellationToken,
        tally: &mut ReplayTally,
        show: &mut impl FnMut(&ReplayTally),
    ) -> anyhow::Result<()> {
        let mut last: Option<Body> = None;
        while !stop.is_cancelled() {
            let after = last.as_ref().map(|last| (last.queue.as_str(), last.message_id.as_str()));
            let page = ledger.quarantine_bodies(self.choice.chosen(), after, PAGE).await?;
            let Some(body) = page.last() else { break };
            last = Some(body.clone());
            self.send_page(ledger, redrive, &page, tally).await?;
            show(tally);
        }
        Ok(())
    }

    async fn send_page(
        &self,
        ledger: &Ledger,
        redrive: &Redrive,
        page: &[Body],
        tally: &mut ReplayTally,
    ) -> anyhow::Result<()> {
        let mut jobs = Vec::with_capacity(page.len());
        for body in page {
            match redrive.read(&body.text) {
                Ok(job) => jobs.push((body, job)),
                Err(error) => tally.stays(error.code()),
            }
        }
        if self.flags.dry_run {
            for (_, job) in jobs {
                tally.sent(job.batch.as_str());
            }
            return Ok(());
        }
        let bodies: Vec<_> = jobs.iter().map(|(body, job)| (job, body.text.as_str())).collect();
        ledger.note_activity().await?;
        let sent = redrive.send(&bodies).await;
        let mut accepted = Vec::with_capacity(jobs.len());
        for ((body, job), result) in jobs.iter().zip(sent.results) {
            match result {
                Ok(()) => {
                    tally.sent(job.batch.as_str());
                    accepted.push(*body);
                }
                Err(error) => tally.stays(&error.code),
            }
        }
        ledger.remove_resent(&accepted).await?;
        sent.error.map_or(Ok(()), |error| Err(error).context("cannot resend jobs"))
    }

    async fn audit(&self, ledger: &Ledger, redrive: &Redrive, tally: &ReplayTally) -> anyhow::Result<()> {
        if self.flags.dry_run || tally.n() == 0 {
            return Ok(());
        }
        let detail = json!({
            "chosen": self.choice.audited(),
            "sent": tally.sent,
            "batches": tally.batches,
            "stay": tally.stay,
            "sent_to": redrive.queue().url(),
        });
        let action = AuditAction { who: &user::who(), action: "quarantine replay", what: "quarantine", detail };
        Ok(ledger.audit(&action).await?)
    }

    fn print(&self, tally: &ReplayTally) -> anyhow::Result<()> {
        if self.flags.json {
            stdout::print_json(tally)?;
        } else {
            stdout::print(tally)?;
        }
        Ok(())
    }
}

/// Opens the queue to which jobs are resent.
async fn open(config: &Config) -> anyhow::Result<Queue> {
    let aws = identity::load(&config.aws.access()).await;
    let name = config.queue.replay.as_ref().unwrap_or(&config.queue.name);
    Queue::open(&aws, name).await.with_context(|| format!("cannot open queue `{name}`"))
}

impl ReplayTally {
    fn sent(&mut self, batch: &str) {
        self.sent += 1;
        *self.batches.entry(batch.to_owned()).or_default() += 1;
    }

    fn stays(&mut self, reason: &str) {
        *self.stay.entry(reason.to_owned()).or_default() += 1;
    }

    /// Returns the number of messages processed.
    fn n(&self) -> u64 {
        self.sent + self.stay.values().sum::<u64>()
    }
}

impl fmt::Display for ReplayTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = if self.dry_run { "would be resent" } else { "resent" };
        writeln!(f, "{} {sent}", grouped(self.sent))?;
        for (batch, n) in &self.batches {
            writeln!(f, "{:>11}  of batch {}", grouped(*n), printable(batch))?;
        }
        for (reason, n) in &self.stay {
            writeln!(f, "{:>11}  stay, {}", grouped(*n), printable(reason))?;
        }
        Ok(())
    }
}
