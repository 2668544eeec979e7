//! `muster status`: the progress and the failures of batches.

mod check;
mod wait;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::open_ledger::open_ledger;
use super::talk::talk;
use super::{exit, signals, stdout};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::batch::BatchFilter;
use crate::operator::status::{BatchListing, BatchReport, StatusQuery};
use muster_core::job::Name;

/// Shows what stops or slows the work, and the progress of batches.
///
/// The first lines name what stops everything, each with the command that fixes it. Without BATCH, lists all batches.
/// With BATCH, shows its outcomes, failures and parked jobs, the rate between two readings, and how long the rest will
/// take. The numbers come from counters, so even a batch of millions is answered at once.
///
/// Announced certificates without an outcome are outstanding while messages may still be on their way. They are missing
/// once the queues have been empty for two minutes: look in the dead-letter queue and the quarantine.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct StatusCommand {
    /// Batch to show; lists all batches if omitted.
    batch: Option<Name>,
    /// Time between the two readings that give the current rate; `0s` shows none.
    #[arg(long, default_value = "2s", value_name = "TIME", requires = "batch")]
    measure: humantime::Duration,
    /// Also prints the last 100 changes of each learnt rate.
    #[arg(long, requires = "batch", conflicts_with_all = ["json", "watch"])]
    rates: bool,
    /// Refreshes until the batch is complete or Ctrl-C; without a terminal, prints a line every 10 s.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        conflicts_with_all = ["json", "wait", "check", "measure"]
    )]
    watch: Option<humantime::Duration>,
    /// Waits until the batch is complete, or until nothing more can come: the queues have been empty for two minutes.
    /// Also waits for a batch that is not known yet.
    #[arg(long, requires = "batch")]
    wait: bool,
    /// Checks the batch: prints a line per problem and exits with 6 if there is any. Problems are whatever stops the
    /// batch; missing, outstanding, parked or failed certificates; and certificates whose status at AWS is unknown or
    /// not the requested one. With --wait, waits first.
    #[arg(long, requires = "batch")]
    check: bool,
    /// Maximum number of batches to list.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    #[arg(conflicts_with = "batch")]
    limit: u32,
    /// Lists only batches older than this one: the next page.
    #[arg(long, value_name = "BATCH", conflicts_with = "batch")]
    before: Option<Name>,
    /// Prints JSON, including the changes of each rate.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit codes:
  0    ok; with --check: nothing is wrong
  3    --wait: the batch is over, but something failed or is missing
  6    --check: something is wrong
  130  interrupted
For other exit codes see `muster --help`.";

impl StatusCommand {
    /// Reads the counters and prints the status, repeatedly with --watch or --wait.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let code = match &self.batch {
            Some(batch) => self.show_batch(&StatusQuery { config, ledger: &ledger, batch }).await,
            None => self.list(&ledger).await,
        };
        ledger.close().await;
        code
    }

    async fn show_batch(&self, query: &StatusQuery<'_>) -> anyhow::Result<ExitCode> {
        if let Some(every) = self.watch {
            return watch::batch(query, every.into(), &signals::stop_token()?).await;
        }
        if self.wait && !wait::wait(query.ledger, query.batch, &signals::stop_token()?).await? {
            return Ok(exit::INTERRUPTED.into());
        }
        // With --wait or --check, the result matters, not the rate.
        let is_measured = !self.wait && !self.check;
        let report = query.measure(if is_measured { self.measure.into() } else { Duration::ZERO }).await?;
        self.print(&report)?;
        Ok(match (self.check, self.wait) {
            (true, _) => check::check(&report),
            (false, true) if report.has_failures() => exit::SOME_FAILED.into(),
            _ => ExitCode::SUCCESS,
        })
    }

    fn print(&self, report: &BatchReport) -> anyhow::Result<()> {
        if self.json {
            stdout::print_json(report)?;
        } else {
            stdout::print(report)?;
        }
        if self.rates {
            for rate in &report.rates {
                stdout::print(rate.table())?;
            }
        }
        Ok(())
    }

    async fn list(&self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let read = async || BatchListing::read(ledger, &BatchFilter::default(), self.before.as_ref(), self.limit).await;
        if let Some(every) = self.watch {
            return watch::list(read, every.into(), &signals::stop_token()?).await;
        }
        let listing = read().await?;
        if self.json {
            stdout::print_json(&listing)?;
        } else {
            stdout::print(&listing)?;
            if let Some(next) = &listing.next {
                talk(&format!("there are more: --before {next}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
