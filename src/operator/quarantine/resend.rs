//! Resends quarantined messages that are valid jobs now.
//!
//! They are removed from the quarantine after SQS accepted them. A crash in between sends a message twice, which is
//! harmless. Other messages stay and are counted by reason.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::selection::QuarantineSelection;
use crate::aws::identity;
use crate::aws::queue::Queue;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;
use crate::ledger::quarantine::Body;
use crate::operator::long_task::{TaskControl, TaskCounts};
use crate::operator::redrive::Redrive;
use muster_core::format::{grouped, printable};

/// Bodies read at a time: as many as one SQS call accepts, at most 10 MiB.
const PAGE: u32 = 10;

/// Messages to resend, and who wants it.
#[derive(Debug)]
pub struct QuarantineResend<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Which messages.
    pub selection: &'a QuarantineSelection,
    /// Whether only to count what would be done.
    pub dry_run: bool,
    /// Who wants it, for the audit.
    pub who: &'a str,
}

/// What was done or, in a dry run, would be done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayTally {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Number of messages resent.
    pub sent: u64,
    /// Messages resent, by batch.
    pub batches: BTreeMap<String, u64>,
    /// Messages left in the quarantine, by the reason they are not jobs or by SQS's error code.
    pub stay: BTreeMap<String, u64>,
}

impl QuarantineResend<'_> {
    /// Resends all selected messages, page by page. The tally is valid even after an error.
    pub async fn run(&self, config: &Config, control: &TaskControl) -> (ReplayTally, anyhow::Result<()>) {
        let mut tally = ReplayTally { dry_run: self.dry_run, ..ReplayTally::default() };
        let result = self.send(config, control, &mut tally).await;
        (tally, result)
    }

    async fn send(&self, config: &Config, control: &TaskControl, tally: &mut ReplayTally) -> anyhow::Result<()> {
        let redrive = Redrive::new(config, open(config).await?);
        let sent = self.send_pages(&redrive, control, tally).await;
        // Recorded even if sending failed halfway.
        self.audit(&redrive, tally).await?;
        sent
    }

    async fn send_pages(
        &self,
        redrive: &Redrive,
        control: &TaskControl,
        tally: &mut ReplayTally,
    ) -> anyhow::Result<()> {
        let mut last: Option<Body> = None;
        while !control.is_stopped() {
            let after = last.as_ref().map(|last| (last.queue.as_str(), last.message_id.as_str()));
            let page = self.ledger.quarantine_bodies(self.selection.filter(), after, PAGE).await?;
            let Some(body) = page.last() else { break };
            last = Some(body.clone());
            self.send_page(redrive, &page, tally).await?;
            control.report(TaskCounts { n_done: tally.sent, n_failed: tally.stay.values().sum() });
        }
        Ok(())
    }

    async fn send_page(&self, redrive: &Redrive, page: &[Body], tally: &mut ReplayTally) -> anyhow::Result<()> {
        let mut jobs = Vec::with_capacity(page.len());
        for body in page {
            match redrive.read(&body.text) {
                Ok(job) => jobs.push((body, job)),
                Err(error) => tally.stays(error.code()),
            }
        }
        if self.dry_run {
            for (_, job) in jobs {
                tally.sent(job.batch.as_str());
            }
            return Ok(());
        }
        let bodies: Vec<_> = jobs.iter().map(|(body, job)| (job, body.text.as_str())).collect();
        self.ledger.note_activity().await?;
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
        self.ledger.remove_resent(&accepted).await?;
        sent.error.map_or(Ok(()), |error| Err(error).context("cannot resend jobs"))
    }

    async fn audit(&self, redrive: &Redrive, tally: &ReplayTally) -> anyhow::Result<()> {
        if self.dry_run || tally.n() == 0 {
            return Ok(());
        }
        let detail = json!({
            "chosen": self.selection.audited(),
            "sent": tally.sent,
            "batches": tally.batches,
            "stay": tally.stay,
            "sent_to": redrive.queue().url(),
        });
        let action = AuditAction { who: self.who, action: "quarantine replay", what: "quarantine", detail };
        Ok(self.ledger.audit(&action).await?)
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
