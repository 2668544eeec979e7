//! `muster prune`: drops old batches from the ledger.

use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgGroup, Args};
use serde::Serialize;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::figures::{grouped, printable, rfc3339};
use super::progress::Progress;
use super::{exit, ledger, operator, signals, stdout};
use crate::config::Config;
use crate::job::Name;
use crate::store::Store;
use crate::store::prune::{OldBatch, Pruned};

/// Rows that are dropped in one transaction: some tens of milliseconds, for which nobody else waits but for these rows.
const PAGE: u32 = 2000;

/// Drops old batches from the ledger, a few rows at a time, beside live work.
///
/// A batch is old when nothing of it was recorded for the given time. What waits to be sent again stays. What is dropped is
/// no longer known: a certificate that comes again costs a call, which AWS answers with `already registered`. Stopped with
/// Ctrl-C it can be run again. Export what must be kept first: `muster export`, `muster report`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args(["older_than", "batches"]))]
pub(super) struct Prune {
    /// Batches of which nothing was recorded for so long, for example 180d.
    #[arg(long, value_name = "TIME")]
    older_than: Option<humantime::Duration>,
    /// Only these batches; without --older-than however young they are.
    #[arg(value_name = "BATCH")]
    batches: Vec<Name>,
    /// Only shows what would be dropped.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Prints what came of it as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of a batch.
#[derive(Debug, Serialize)]
struct Line {
    batch: String,
    rows: u64,
    parked: u64,
    #[serde(with = "time::serde::rfc3339")]
    last_recorded_at: OffsetDateTime,
    /// How many rows were dropped.
    dropped: u64,
    /// Nothing of the batch is left.
    is_gone: bool,
}

impl Prune {
    /// Drops, or shows what would be dropped.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let result = self.prune(&store).await;
        store.close().await;
        result
    }

    async fn prune(&self, store: &Store) -> anyhow::Result<ExitCode> {
        let mut lines: Vec<Line> = self.chosen(store).await?.into_iter().map(Line::of).collect();
        let n: u64 = lines.iter().map(|line| line.rows).sum();
        if self.dry_run || lines.is_empty() {
            self.print(&lines)?;
            return Ok(ExitCode::SUCCESS);
        }
        let question = format!("Drop {} batches with {} rows for good", grouped(lines.len() as u64), grouped(n));
        if !operator::confirm(&question, self.yes)? {
            return Ok(operator::nothing_done());
        }
        let (stop, progress, who) = (signals::stop_token()?, Progress::new(), operator::who());
        let mut n_before = 0;
        for line in &mut lines {
            if !stop.is_cancelled() {
                let pruned = drop_batch(store, &line.batch, &stop, |dropped| {
                    progress.show(n_before + dropped, Some(n), "rows dropped");
                });
                line.dropped = pruned.await?.n_dropped;
                line.is_gone = store.forget_batch(&line.batch, line.dropped, &who).await?;
                n_before += line.dropped;
            }
        }
        progress.done();
        self.print(&lines)?;
        Ok(if stop.is_cancelled() { exit::INTERRUPTED.into() } else { ExitCode::SUCCESS })
    }

    /// The old batches among those that are meant.
    async fn chosen(&self, store: &Store) -> anyhow::Result<Vec<OldBatch>> {
        let age = self.older_than.map_or(time::Duration::ZERO, |age| {
            age.as_ref().as_secs().try_into().map_or(time::Duration::MAX, time::Duration::seconds)
        });
        let since = OffsetDateTime::now_utc().checked_sub(age).context("nothing is so old")?;
        let mut old = store.old_batches(since).await?;
        old.retain(|old| self.batches.is_empty() || self.batches.iter().any(|name| name.as_str() == old.batch));
        Ok(old)
    }

    fn print(&self, lines: &[Line]) -> anyhow::Result<()> {
        if self.json {
            stdout::print_json(lines)?;
        } else if lines.is_empty() {
            stdout::print("no batch is so old\n")?;
        } else {
            for line in lines {
                stdout::print(format_args!("{}\n", line.text(self.dry_run)))?;
            }
        }
        Ok(())
    }
}

/// Drops a batch page by page, until it is done or somebody stops it.
async fn drop_batch(
    store: &Store,
    batch: &str,
    stop: &CancellationToken,
    show: impl Fn(u64),
) -> anyhow::Result<Pruned> {
    let mut pruned = Pruned::default();
    while !pruned.is_done && !stop.is_cancelled() {
        pruned = store.prune(batch, &pruned, PAGE).await?;
        show(pruned.n_dropped);
    }
    Ok(pruned)
}

impl Line {
    fn of(old: OldBatch) -> Self {
        let OldBatch { batch, n, n_parked, last_at } = old;
        let last_recorded_at = last_at.truncate_to_second();
        Self { batch, rows: n, parked: n_parked, last_recorded_at, dropped: 0, is_gone: false }
    }

    fn text(&self, is_dry: bool) -> String {
        let (batch, rows, last) = (printable(&self.batch), grouped(self.rows), rfc3339(self.last_recorded_at));
        let came = match (is_dry, self.is_gone, self.parked) {
            (true, _, 0) => String::new(),
            (true, _, n) => format!(", of which {} are parked and stay", grouped(n)),
            (false, true, _) => ": dropped".to_owned(),
            (false, false, _) => {
                format!(": {} dropped, the others stay: they are under way, or this was stopped", grouped(self.dropped))
            }
        };
        format!("{batch}, {rows} rows, the last of {last}{came}")
    }
}
