//! `muster status`: how far a batch is, and what failed in it.

mod rates;
mod report;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::time::Instant;

use crate::config::Config;
use crate::job::Name;
use crate::outcome::Code;
use crate::store::{BatchStatus, Store};

use report::{Facts, Measured, Report};

/// How many batches are looked through for one of a similar name.
const LOOKED_THROUGH: u32 = 1000;

/// How many batches are named to whoever asks for one that is not there.
const NAMED: usize = 3;

/// How alike two names are, from 0 to 1, where one may stand for the other.
const ALIKE: f64 = 0.8;

/// Tells how far a batch is and what failed in it.
///
/// All numbers come from the ledger's counters, so a batch of millions is answered at once. While certificates are
/// outstanding the rate is measured: ends between two readings. A batch is known from its first end on.
#[derive(Args, Debug)]
pub(super) struct Status {
    /// The batch.
    batch: Name,
    /// The time between the two readings; 0s measures no rate.
    #[arg(long, default_value = "2s", value_name = "TIME")]
    measure: humantime::Duration,
    /// Prints the last hundred changes of each rate, too.
    #[arg(long, conflicts_with = "json")]
    rates: bool,
    /// Prints the numbers as JSON, with the changes of each rate.
    #[arg(long)]
    json: bool,
}

/// Nobody named this batch.
#[derive(Debug, thiserror::Error)]
#[error("the ledger has no end of a batch `{batch}`")]
pub(super) struct UnknownBatch {
    batch: Name,
    similar: Vec<String>,
    recent: Vec<String>,
}

impl UnknownBatch {
    /// What the caller may have meant.
    pub(super) fn hint(&self) -> String {
        let meant = match (self.similar.as_slice(), self.recent.as_slice()) {
            ([], []) => "the ledger has no batch at all".to_owned(),
            ([], recent) => format!("the last ones are {}", recent.join(", ")),
            (similar, _) => format!("did you mean {}?", similar.join(" or ")),
        };
        format!("{meant}; a batch is known from its first end on, for which a worker must run")
    }
}

impl Status {
    /// Reads the counters, twice where something is outstanding.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = Store::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
        store.check_schema().await?;
        let report = self.look(config, &store).await;
        store.close().await;
        self.print(&report?)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn look(&self, config: &Config, store: &Store) -> anyhow::Result<Report> {
        let (batch, measured) = self.measure(store).await?;
        let failed: BTreeSet<Code> = batch.counts.iter().map(|count| count.code).collect();
        let failed: Vec<Code> = failed.into_iter().filter(|code| !code.status().is_good()).collect();
        let examples = store.batch_examples(self.batch.as_str(), &failed).await?;
        let operations = store.batch_operations(self.batch.as_str()).await?;
        let rates = store.rate_reports(&operations).await?;
        Ok(Report::of(&Facts { name: &self.batch, batch: &batch, measured, examples, operations, rates, config }))
    }

    /// Reads the counters, and how many ends came while this looked.
    async fn measure(&self, store: &Store) -> anyhow::Result<(BatchStatus, Option<Measured>)> {
        let before = Instant::now();
        let first = self.read(store).await?;
        let is_complete = first.announced.is_some_and(|announced| first.ended() >= announced);
        if is_complete || self.measure.is_zero() {
            return Ok((first, None));
        }
        tokio::time::sleep(self.measure.into()).await;
        let last = self.read(store).await?;
        let measured = Measured { ends: last.ended().saturating_sub(first.ended()), time: before.elapsed() };
        Ok((last, Some(measured)))
    }

    async fn read(&self, store: &Store) -> anyhow::Result<BatchStatus> {
        if let Some(batch) = store.batch_status(self.batch.as_str()).await? {
            return Ok(batch);
        }
        let mut recent = store.recent_batches(LOOKED_THROUGH).await?;
        let similar = similar(self.batch.as_str(), &recent);
        recent.truncate(NAMED);
        Err(UnknownBatch { batch: self.batch.clone(), similar, recent }.into())
    }

    #[expect(clippy::print_stdout, reason = "the numbers are the command's data")]
    fn print(&self, report: &Report) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(report)?);
        } else {
            print!("{report}");
        }
        if self.rates {
            report.rates().iter().for_each(|rate| print!("{}", rate.table()));
        }
        Ok(())
    }
}

/// The names that are most like one, the most alike first.
fn similar(name: &str, names: &[String]) -> Vec<String> {
    let mut alike: Vec<_> = names.iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(NAMED).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(similar: &[&str], recent: &[&str]) -> String {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        UnknownBatch { batch: "b".parse().unwrap(), similar: own(similar), recent: own(recent) }.hint()
    }

    #[test]
    fn a_slip_of_the_finger_is_found_and_another_name_is_not() {
        let names = ["line7-2026-11-21-a", "line7-2026-11-20-a", "enqueue-2026-11-21T10-15-00Z"].map(str::to_owned);
        assert_eq!(similar("lin7-2026-11-21-a", &names), names[..2]);
        assert!(similar("rework", &names).is_empty());
    }

    #[test]
    fn the_hint_names_what_may_have_been_meant() {
        assert!(error(&["line-1", "line-2"], &["x"]).starts_with("did you mean line-1 or line-2?; "));
        assert!(error(&[], &["x", "y"]).starts_with("the last ones are x, y; "));
        assert!(error(&[], &[]).starts_with("the ledger has no batch at all; "));
    }
}
