//! `muster prune`: drops old batches from the ledger, page by page.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde::Serialize;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::change_flags::ChangeFlags;
use super::format::{counted, grouped, printable, rfc3339, span};
use super::open_ledger::open_ledger;
use super::progress::Progress;
use super::{exit, signals, stdout, user};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::prune::{OldBatch, PruneProgress};
use crate::operator::status::UnknownBatch;
use muster_core::advice::Advice;
use muster_core::job::Name;

/// Rows dropped per transaction. It takes tens of milliseconds and blocks only other writers of these rows.
const PAGE: u32 = 2000;

/// A batch with an outcome or a message more recent than this is dropped only with `--force`.
const RECENT: Duration = Duration::from_hours(24);

/// Drops old batches from the ledger, a few rows at a time, while workers keep running.
///
/// A batch is old if it had no outcome and no announcement for the given time. A batch with one in the last 24 hours is
/// refused unless `--force` is given. Jobs that wait to be resent, or were resent and have no outcome yet, are kept.
/// Muster no longer knows a dropped certificate: if it is sent again, it costs a call, which AWS answers with "already
/// registered". After Ctrl-C, run the same command again. First save what you want to keep with `muster export` and
/// `muster report`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args(["older_than", "batches"]))]
pub(super) struct Prune {
    /// Drops batches without an outcome for this long, for example `180d`.
    #[arg(long, value_name = "TIME")]
    older_than: Option<humantime::Duration>,
    /// Drops only these batches; without --older-than, regardless of their age.
    #[arg(value_name = "BATCH")]
    batches: Vec<Name>,
    /// Also drops batches with an outcome or a message in the last 24 hours.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    flags: ChangeFlags,
}

/// Some batches had an outcome or a message in the last day. Nothing was dropped.
#[derive(Debug, thiserror::Error)]
#[error("nothing was dropped: {}; at least a day must have passed", .0.join(", "))]
pub(super) struct RecentBatches(Vec<String>);

impl Advice for RecentBatches {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`--dry-run` shows what would be dropped, `--force` drops these too".into())
    }
}

impl RecentBatches {
    /// Returns an error if any batch is recent.
    fn refuse(lines: &[PruneLine]) -> Result<(), Self> {
        let recent = lines.iter().filter(|line| line.is_recent);
        let recent: Vec<_> = recent
            .map(|line| {
                format!("batch `{}` had an outcome or a message {} ago", printable(&line.batch), span(line.last_ago))
            })
            .collect();
        if recent.is_empty() { Ok(()) } else { Err(Self(recent)) }
    }
}

/// The result for a batch.
#[derive(Debug, Serialize)]
struct PruneLine {
    batch: String,
    rows: u64,
    parked: u64,
    #[serde(with = "time::serde::rfc3339")]
    last_recorded_at: OffsetDateTime,
    /// It had an outcome or a message in the last day.
    is_recent: bool,
    /// Number of rows dropped.
    dropped: u64,
    /// Nothing of the batch is left.
    is_gone: bool,
    #[serde(skip)]
    last_ago: Duration,
}

impl Prune {
    /// Drops, or shows what would be dropped.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let result = self.prune(&ledger).await;
        ledger.close().await;
        result
    }

    async fn prune(&self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let mut lines = self.selected(ledger).await?;
        let n: u64 = lines.iter().map(|line| line.rows).sum();
        if self.flags.dry_run || lines.is_empty() {
            self.print(&lines)?;
            return Ok(ExitCode::SUCCESS);
        }
        self.refuse_recent(&lines)?;
        let batches = counted(lines.len() as u64, "batch", "batches");
        let question = format!("Permanently drop {batches} with {}", counted(n, "row", "rows"));
        if let Some(unconfirmed) = self.flags.confirm(&question)? {
            return Ok(unconfirmed);
        }
        // The operator may have taken a long time to answer.
        self.refuse_recent(&self.selected(ledger).await?)?;
        let (stop, progress, who) = (signals::stop_token()?, Progress::new(), user::who());
        let mut n_before = 0;
        for line in &mut lines {
            if !stop.is_cancelled() {
                let pruned = drop_batch(ledger, &line.batch, &stop, |dropped| {
                    progress.show(n_before + dropped, Some(n), "rows dropped");
                });
                line.dropped = pruned.await?.n_dropped;
                line.is_gone = ledger.forget_batch(&line.batch, line.dropped, &who).await?;
                n_before += line.dropped;
            }
        }
        progress.done();
        self.print(&lines)?;
        Ok(if stop.is_cancelled() { exit::INTERRUPTED.into() } else { ExitCode::SUCCESS })
    }

    fn refuse_recent(&self, lines: &[PruneLine]) -> Result<(), RecentBatches> {
        if self.force { Ok(()) } else { RecentBatches::refuse(lines) }
    }

    /// Returns the old batches among those selected.
    async fn selected(&self, ledger: &Ledger) -> anyhow::Result<Vec<PruneLine>> {
        let age = self.older_than.map_or(Duration::ZERO, Into::into);
        let all = ledger.old_batches(age).await?;
        for name in &self.batches {
            let is_old = all.iter().any(|old| old.batch == name.as_str());
            if !is_old && ledger.batch_status(name.as_str()).await?.is_none() {
                return Err(UnknownBatch::of(ledger, name).await?.into());
            }
        }
        let is_selected =
            |old: &OldBatch| self.batches.is_empty() || self.batches.iter().any(|name| name.as_str() == old.batch);
        Ok(all.into_iter().filter(is_selected).map(PruneLine::of).collect())
    }

    fn print(&self, lines: &[PruneLine]) -> anyhow::Result<()> {
        if self.flags.json {
            stdout::print_json(lines)?;
        } else if lines.is_empty() {
            stdout::print("no batch is that old\n")?;
        } else {
            for line in lines {
                stdout::print(format_args!("{}\n", line.text(self.flags.dry_run)))?;
            }
        }
        Ok(())
    }
}

/// Drops a batch page by page until it is done or `stop` is cancelled.
async fn drop_batch(
    ledger: &Ledger,
    batch: &str,
    stop: &CancellationToken,
    show: impl Fn(u64),
) -> anyhow::Result<PruneProgress> {
    let mut pruned = PruneProgress::default();
    while !pruned.is_done && !stop.is_cancelled() {
        pruned = ledger.prune(batch, &pruned, PAGE).await?;
        show(pruned.n_dropped);
    }
    Ok(pruned)
}

impl PruneLine {
    fn of(old: OldBatch) -> Self {
        let OldBatch { batch, n, n_parked, last_at, last_ago } = old;
        Self {
            batch,
            rows: n,
            parked: n_parked,
            last_recorded_at: last_at.truncate_to_second(),
            is_recent: last_ago < RECENT,
            dropped: 0,
            is_gone: false,
            last_ago,
        }
    }

    fn text(&self, is_dry: bool) -> String {
        let (batch, rows) = (printable(&self.batch), counted(self.rows, "row", "rows"));
        let last = rfc3339(self.last_recorded_at);
        let result = match (is_dry, self.is_gone) {
            (true, _) => self.warnings(),
            (false, true) => ": dropped".to_owned(),
            (false, false) => {
                format!(
                    ": {} dropped; the rest stays because it is in use or the command was stopped",
                    grouped(self.dropped)
                )
            }
        };
        format!("{batch}, {rows}, the last of {last}{result}")
    }

    /// Returns what a dry run adds to the counts.
    fn warnings(&self) -> String {
        let parked = match self.parked {
            0 => String::new(),
            n => format!(", {} parked, which are kept", grouped(n)),
        };
        let recent = if self.is_recent {
            format!("; refused without --force: {} ago", span(self.last_ago))
        } else {
            String::new()
        };
        format!("{parked}{recent}")
    }
}
