//! `muster replay`: resends failed jobs and shows the progress of replays.

mod follow;
mod selection;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::change_flags::ChangeFlags;
use super::open_ledger::open_ledger;
use super::talk::talk;
use super::{exit, stdout, user};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::replay::{ReplayRequest, ReplayStart};
use crate::operator::replays::{self, Forecast, ReplayReport};
use muster_core::replay_filter::ReplayFilter;

use selection::Selection;

pub(super) use selection::SelectionError;

/// Resends failed jobs, or lists replays.
///
/// The workers run the replay in the background. It is stored in the ledger, continues after a crash, selects each job
/// once and can be cancelled. Requesting the same replay twice starts only one. A certificate that has been registered
/// meanwhile costs no call.
///
/// Without --code and --status, selects the jobs that may succeed unchanged: all `exhausted` outcomes and
/// `not_yet_valid`. Anything else must be named. Parked jobs are resent automatically when their hold is released.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "list|show|cancel",
    after_help = AFTER_HELP
)]
pub(super) struct ReplayCommand {
    #[command(flatten)]
    selection: Selection,
    /// Asks AWS about each certificate, even if the ledger knows it as registered.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    flags: ChangeFlags,
    /// Waits until every resent job has an outcome.
    #[arg(long)]
    wait: bool,
    #[command(subcommand)]
    action: Option<ReplayAction>,
}

const AFTER_HELP: &str = "\
Examples:
  muster replay line7-a --dry-run                    show what would be resent
  muster replay line7-a --code issuer_mismatch       resend failures with this code
  muster replay --certificates ids.txt --verify      resend these certificates and ask AWS about each
  muster replay --all-batches --since 2h             resend the failures of the last two hours
If a batch has the name of a subcommand, put it after `--`: muster replay -- list

With --wait, exits with 3 if any job failed again. For other exit codes see `muster --help`.";

#[derive(Debug, Subcommand)]
enum ReplayAction {
    /// Lists the replays, the latest first.
    List {
        /// Maximum number of replays to list.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
        /// Lists only replays before this number: the next page.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// Prints the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows the progress and the outcomes of a replay.
    Show {
        /// Its number.
        number: i64,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancels a replay: nothing more is sent. Jobs already sent are still processed.
    Cancel {
        /// Its number.
        number: i64,
    },
}

/// The JSON output: a replay's plan and its state.
#[derive(Serialize)]
struct PlannedReplay<'a> {
    /// What would be resent; null: the same replay is already in progress.
    plan: Option<&'a Forecast>,
    /// Null: no replay was started.
    replay: Option<ReplayReport>,
}

impl ReplayCommand {
    /// Starts a replay, or runs the subcommand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let filter = if self.action.is_none() { Some(self.selection.order()?.filter()?) } else { None };
        let ledger = open_ledger(config).await?;
        let result = match (&self.action, filter) {
            (Some(action), _) => action.run(&ledger).await,
            (None, Some(filter)) => self.start(config, &ledger, &filter).await,
            (None, None) => Ok(ExitCode::SUCCESS),
        };
        ledger.close().await;
        result
    }

    async fn start(&self, config: &Config, ledger: &Ledger, filter: &ReplayFilter) -> anyhow::Result<ExitCode> {
        if let Some(number) = ledger.replay_under_way(filter, self.verify).await? {
            talk(&format!("the same replay is already in progress as replay {number}"));
            return self.follow(ledger, None, number).await;
        }
        self.selection.check_batches(ledger).await?;
        let forecast = Forecast::of(config, ledger, filter).await?;
        let n = forecast.n_chosen();
        if !self.flags.json {
            stdout::print(&forecast)?;
        }
        if n == 0 || self.flags.dry_run {
            return self.print(&PlannedReplay { plan: Some(&forecast), replay: None }).map(|()| ExitCode::SUCCESS);
        }
        if let Some(unconfirmed) = self.flags.confirm(&forecast.question())? {
            return Ok(unconfirmed);
        }
        let request = ReplayRequest { filter, verify: self.verify, who: &user::who(), n_expected: n };
        let (number, message) = match ledger.begin_replay(&request).await? {
            ReplayStart::New(number) => {
                (number, format!("replay {number} has started; `muster replay show {number}` shows its progress"))
            }
            ReplayStart::UnderWay(number) => {
                (number, format!("the same replay was started a moment ago as replay {number}"))
            }
        };
        talk(&message);
        self.follow(ledger, Some(&forecast), number).await
    }

    /// Prints a replay in progress; with --wait, once every job has an outcome.
    async fn follow(&self, ledger: &Ledger, plan: Option<&Forecast>, number: i64) -> anyhow::Result<ExitCode> {
        if self.wait && !follow::until_finished(ledger, number).await? {
            talk(&format!("replay {number} continues; `muster replay show {number}` shows its progress"));
            return Ok(exit::INTERRUPTED.into());
        }
        let report = ReplayReport::read(ledger, number).await?;
        let code = if self.wait && report.n_failed() > 0 { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS };
        if self.wait && !self.flags.json {
            stdout::print(&report)?;
        }
        self.print(&PlannedReplay { plan, replay: Some(report) })?;
        Ok(code)
    }

    fn print(&self, planned: &PlannedReplay<'_>) -> anyhow::Result<()> {
        if self.flags.json {
            stdout::print_json(planned)?;
        }
        Ok(())
    }
}

impl ReplayAction {
    async fn run(&self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { limit, before, json } => list(ledger, *before, *limit, *json).await?,
            Self::Show { number, json } => {
                let report = ReplayReport::read(ledger, *number).await?;
                if *json {
                    stdout::print_json(&report)?
                } else {
                    stdout::print(&report)?
                };
            }
            Self::Cancel { number } => {
                replays::cancel(ledger, *number, &user::who()).await?;
                talk(&format!("replay {number} is cancelled; jobs already sent are still processed"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(ledger: &Ledger, before: Option<i64>, limit: u32, is_json: bool) -> anyhow::Result<()> {
    let replays = replays::replays(ledger, before, limit).await?;
    if is_json {
        stdout::print_json(&replays)?;
    } else if replays.is_empty() {
        stdout::print("no replays\n")?;
    } else {
        for replay in replays {
            stdout::print(replay.line())?;
        }
    }
    Ok(())
}
