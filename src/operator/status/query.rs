//! Reads everything about one batch.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::facts::{Measured, StatusFacts};
use super::report::BatchReport;
use super::unknown::counters;
use crate::config::Config;
use crate::ledger::{BatchStatus, Ledger};
use crate::operator::situation::Situation;
use muster_core::job::Name;
use muster_core::outcome::Code;

/// A batch to report on, and where to read about it.
pub struct StatusQuery<'a> {
    /// The settings, for quotas that no worker has opened yet.
    pub config: &'a Config,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The batch.
    pub batch: &'a Name,
}

impl StatusQuery<'_> {
    /// Reads a report. If the batch is not complete and `interval` is not zero, reads the counters again after
    /// `interval` to measure the rate.
    pub async fn measure(&self, interval: Duration) -> anyhow::Result<BatchReport> {
        let before = Instant::now();
        let first = self.counters().await?;
        if first.is_complete() || interval.is_zero() {
            return self.report(&first, None).await;
        }
        tokio::time::sleep(interval).await;
        let last = self.counters().await?;
        let measured =
            Measured { n_outcomes: last.finished().saturating_sub(first.finished()), time: before.elapsed() };
        self.report(&last, Some(measured)).await
    }

    /// Reads the counters.
    pub async fn counters(&self) -> anyhow::Result<BatchStatus> {
        counters(self.ledger, self.batch).await
    }

    /// Builds the report from the counters and everything else it needs.
    pub async fn report(&self, batch: &BatchStatus, measured: Option<Measured>) -> anyhow::Result<BatchReport> {
        let Self { config, ledger, batch: name } = *self;
        let codes: BTreeSet<Code> = batch.counts.iter().map(|count| count.code).collect();
        let failed: Vec<Code> = codes.into_iter().filter(|code| !code.status().is_success()).collect();
        let queues_empty_for = ledger.queues_empty_for().await?;
        let examples = ledger.batch_examples(name.as_str(), &failed).await?;
        let operations = ledger.batch_operations(name.as_str()).await?;
        let rates = ledger.rate_reports(&operations).await?;
        let situation = &Situation::read(ledger).await?;
        Ok(BatchReport::of(&StatusFacts {
            name,
            batch,
            situation,
            queues_empty_for,
            measured,
            examples,
            operations,
            rates,
            config,
        }))
    }
}
