//! `muster report`: the final record of a batch, for a plant's files.

mod certificates;
mod filed;

use std::process::ExitCode;

use clap::Args;

use super::open_ledger::open_ledger;
use super::stdout;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::status::counters;
use muster_core::job::Name;

use certificates::Certificates;
use filed::{Filed, ReportFacts};

/// Prints a report of a batch for your records: the outcomes, and a hash over the ids of the certificates that AWS
/// holds.
///
/// There is one hash per target and operation: SHA-256 over the ids of all registered certificates, in lower-case
/// hexadecimal, sorted, one per line. The hash proves later which certificates the report covered. Counts and hashes
/// describe the current state: file the report when the batch is complete.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReportCommand {
    /// The batch.
    batch: Name,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
To compute the hash of a batch with one target and one operation using other tools:

  muster export BATCH --status registered,already_registered --format jsonl |
    jq -r .certificate_id | LC_ALL=C sort | sha256sum

If there are several, `jq -r 'select(.target == \"T\" and .operation == \"O\").certificate_id'` selects one of them.";

impl ReportCommand {
    /// Reads the counters, then the ids page by page.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let filed = self.file(&ledger).await;
        ledger.close().await;
        let filed = filed?;
        if self.json {
            stdout::print_json(&filed)?;
        } else {
            stdout::print(filed)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn file(&self, ledger: &Ledger) -> anyhow::Result<Filed> {
        let batch = counters(ledger, &self.batch).await?;
        let queues_empty_for = ledger.queues_empty_for().await?;
        let certificates = Certificates::read(ledger, &self.batch, &batch).await?;
        Ok(Filed::of(ReportFacts { name: &self.batch, batch: &batch, queues_empty_for, certificates }))
    }
}
