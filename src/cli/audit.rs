//! `muster audit`: what operators changed.

use std::process::ExitCode;

use clap::Args;

use super::open_ledger::open_ledger;
use super::stdout;
use crate::config::Config;
use crate::operator::audit_log::audit_lines;

/// Lists what operators changed, the latest first: CAs registered, replays, pauses, releases, dead letters and
/// quarantined messages resent or dropped, reconciliations, batches pruned.
#[derive(Args, Debug)]
pub(super) struct Audit {
    /// Maximum number of entries to list.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Lists only entries with a lower number: the next page.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Reads and prints one page.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let lines = audit_lines(&ledger, self.before, self.limit).await;
        ledger.close().await;
        let lines = lines?;
        if self.json {
            stdout::print_json(&lines)?;
        } else if lines.is_empty() {
            stdout::print("no changes have been recorded yet\n")?;
        } else {
            for line in lines {
                stdout::print(format_args!("{line}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
