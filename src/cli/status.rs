//! `muster status`: how far batches are, and what failed in them.

mod asked;
mod check;
mod list;
mod rates;
mod report;
mod text;
mod unknown;
mod wait;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{exit, ledger, signals, stdout};
use crate::config::Config;
use crate::job::Name;
use crate::store::Store;

pub(super) use unknown::{UnknownBatch, counters};

use asked::Asked;
use list::Listing;
use report::Report;

/// Tells how far a batch is and what failed in it; without a batch, lists all of them.
///
/// All numbers come from the ledger's counters, so a batch of millions is answered at once. While certificates are
/// outstanding the rate is measured: ends between two readings. A batch is known from its first end on.
///
/// What was announced and has no end is outstanding while messages may be on their way, and missing once the workers have
/// read the queues as empty for two minutes: look for it in the dead-letter queue and the quarantine.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Status {
    /// The batch; all of them are listed where none is given.
    batch: Option<Name>,
    /// The time between the two readings; 0s measures no rate.
    #[arg(long, default_value = "2s", value_name = "TIME", requires = "batch")]
    measure: humantime::Duration,
    /// Prints the last hundred changes of each rate, too.
    #[arg(long, requires = "batch", conflicts_with_all = ["json", "watch"])]
    rates: bool,
    /// Shows it again and again in place until the batch is complete or Ctrl-C; without a terminal a line every 10 s.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        conflicts_with_all = ["json", "wait", "check", "measure"]
    )]
    watch: Option<humantime::Duration>,
    /// Returns when the batch is complete, or when nothing more comes: the queues have read empty for two minutes.
    #[arg(long, requires = "batch")]
    wait: bool,
    /// Says what is wrong with the batch, a line each, with exit code 6: what is missing, outstanding or parked, what failed,
    /// what stands at AWS with another or an unknown status than was asked for. With --wait it waits first.
    #[arg(long, requires = "batch")]
    check: bool,
    /// How many batches are listed.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    #[arg(conflicts_with = "batch")]
    limit: u32,
    /// Lists the batches that began before this one: the next page.
    #[arg(long, value_name = "BATCH", conflicts_with = "batch")]
    before: Option<Name>,
    /// Prints the numbers as JSON, with the changes of each rate.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit codes:
  0    ok; with --check: nothing is wrong
  3    --wait: it is over, but something failed or is missing
  6    --check: something is wrong
  130  interrupted
Others are those of `muster --help`.";

impl Status {
    /// Reads the counters, as often as it takes.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let code = match &self.batch {
            Some(batch) => self.tell(&Asked { config, store: &store, batch }).await,
            None => self.list(&store).await,
        };
        store.close().await;
        code
    }

    async fn tell(&self, asked: &Asked<'_>) -> anyhow::Result<ExitCode> {
        if let Some(every) = self.watch {
            return watch::batch(asked, every.into(), &signals::stop_token()?).await;
        }
        if self.wait && !wait::wait(asked.store, asked.batch, &signals::stop_token()?).await? {
            return Ok(exit::INTERRUPTED.into());
        }
        // Whoever waits or checks wants to know what came of it, not how fast.
        let is_measured = !self.wait && !self.check;
        let report = asked.look(if is_measured { self.measure.into() } else { Duration::ZERO }).await?;
        self.print(&report)?;
        Ok(match (self.check, self.wait) {
            (true, _) => check::check(&report),
            (false, true) if report.has_failures() => exit::SOME_FAILED.into(),
            _ => ExitCode::SUCCESS,
        })
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
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

    async fn list(&self, store: &Store) -> anyhow::Result<ExitCode> {
        let read = async || Listing::read(store, self.before.as_ref(), self.limit).await;
        if let Some(every) = self.watch {
            return watch::list(read, every.into(), &signals::stop_token()?).await;
        }
        let listing = read().await?;
        if self.json {
            stdout::print_json(&listing)?;
        } else {
            stdout::print(&listing)?;
            listing.point_to_next();
        }
        Ok(ExitCode::SUCCESS)
    }
}
