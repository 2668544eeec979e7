//! `muster replay`: sends failed jobs again, and tells how far that is.

mod follow;
mod forecast;
mod report;
mod selection;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::talk::talk;
use super::{exit, ledger, operator, stdout};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::replay::{ReplayRequest, ReplayStart};
use muster_core::replay_filter::ReplayFilter;

use forecast::Forecast;
use report::ReplayReport;
use selection::Selection;

pub(super) use selection::SelectionError;

/// Sends jobs again that did not end well, or lists replays.
///
/// The workers do it in the background: a replay is kept in the ledger, goes on after a crash, chooses each job once
/// and can be cancelled. The same replay asked for twice is one. What is in meanwhile ends without a call.
///
/// Without --code and --status, what may go well when it is tried again as it is: all `exhausted` ends and
/// `not_yet_valid`. Anything else has to be named. Parked jobs are sent again by themselves once what holds them is
/// over.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "list|show|cancel",
    after_help = AFTER_HELP
)]
pub(super) struct ReplayCommand {
    #[command(flatten)]
    selection: Selection,
    /// Asks AWS itself for each certificate, also where the ledger knows that it is in.
    #[arg(long)]
    verify: bool,
    /// Only shows what would be sent again.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Waits until everything that was sent again has ended.
    #[arg(long)]
    wait: bool,
    /// Prints the plan and the replay as JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<ReplayAction>,
}

const AFTER_HELP: &str = "\
Examples:
  muster replay line7-a --dry-run                    what would be sent again
  muster replay line7-a --code issuer_mismatch       also what needs to be named
  muster replay --certificates ids.txt --verify      these certificates, and AWS itself is asked
  muster replay --all-batches --since 2h             what failed in the last two hours
A batch whose name is that of a subcommand comes after `--`: muster replay -- list

Exit code with --wait: 3 where some did not end well. Others are those of `muster --help`.";

#[derive(Debug, Subcommand)]
enum ReplayAction {
    /// Lists the replays, the latest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
        /// Only those before this one: the next page.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tells how far a replay is, and what came of it.
    Show {
        /// Its number.
        number: i64,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancels a replay: nothing more is sent. What was sent is on its way.
    Cancel {
        /// Its number.
        number: i64,
    },
}

/// There is no replay of this number, or none that could be cancelled.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReplay {
    /// Nobody asked for it.
    #[error("there is no replay {0}")]
    Unknown(i64),
    /// It is over.
    #[error("replay {0} is not under way")]
    Over(i64),
}

impl NoReplay {
    /// What to do.
    pub(super) const HINT: &str = "`muster replay list` lists them";
}

/// What a replay was found to be, before it begins and then.
#[derive(Serialize)]
struct PlannedReplay<'a> {
    /// What would be chosen; null: the same is under way already.
    plan: Option<&'a Forecast>,
    /// Null: nothing was begun.
    replay: Option<ReplayReport>,
}

impl ReplayCommand {
    /// Asks for a replay, or tells of those that there are.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let filter = if self.action.is_none() { Some(self.selection.filter()?) } else { None };
        let ledger = ledger::open(config).await?;
        let result = match (&self.action, filter) {
            (Some(action), _) => action.run(&ledger).await,
            (None, Some(filter)) => self.ask(config, &ledger, &filter).await,
            (None, None) => Ok(ExitCode::SUCCESS),
        };
        ledger.close().await;
        result
    }

    async fn ask(&self, config: &Config, ledger: &Ledger, filter: &ReplayFilter) -> anyhow::Result<ExitCode> {
        if let Some(number) = ledger.replay_under_way(filter, self.verify).await? {
            talk(&format!("the same is under way already, as replay {number}"));
            return self.follow(ledger, None, number).await;
        }
        self.selection.check_batches(ledger).await?;
        let forecast = Forecast::of(config, ledger, filter).await?;
        let n = forecast.n_chosen();
        if !self.json {
            stdout::print(&forecast)?;
        }
        if n == 0 || self.dry_run {
            return self.print(&PlannedReplay { plan: Some(&forecast), replay: None }).map(|()| ExitCode::SUCCESS);
        }
        if !operator::confirm(&forecast.question(), self.yes)? {
            return Ok(operator::nothing_done());
        }
        let wish = ReplayRequest { filter, verify: self.verify, who: &operator::who(), n_expected: n };
        let (number, news) = match ledger.begin_replay(&wish).await? {
            ReplayStart::New(number) => {
                (number, format!("replay {number} begins; `muster replay show {number}` tells how far it is"))
            }
            ReplayStart::UnderWay(number) => (number, format!("the same began a moment ago, as replay {number}")),
        };
        talk(&news);
        self.follow(ledger, Some(&forecast), number).await
    }

    /// Tells of a replay that is under way, with --wait when everything has ended.
    async fn follow(&self, ledger: &Ledger, plan: Option<&Forecast>, number: i64) -> anyhow::Result<ExitCode> {
        if self.wait && !follow::until_ended(ledger, number).await? {
            talk(&format!("replay {number} goes on; `muster replay show {number}` tells how far it is"));
            return Ok(exit::INTERRUPTED.into());
        }
        let report = ReplayReport::read(ledger, number).await?;
        let code = if self.wait && report.n_failed() > 0 { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS };
        if self.wait && !self.json {
            stdout::print(&report)?;
        }
        self.print(&PlannedReplay { plan, replay: Some(report) })?;
        Ok(code)
    }

    fn print(&self, asked: &PlannedReplay<'_>) -> anyhow::Result<()> {
        if self.json {
            stdout::print_json(asked)?;
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
                if !ledger.cancel_replay(*number, &operator::who()).await? {
                    let is_known = ledger.replay(*number).await?.is_some();
                    return Err(if is_known { NoReplay::Over(*number) } else { NoReplay::Unknown(*number) }.into());
                }
                talk(&format!("replay {number} is cancelled; what was sent is on its way"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(ledger: &Ledger, before: Option<i64>, limit: u32, is_json: bool) -> anyhow::Result<()> {
    let replays: Vec<ReplayReport> = ledger.replays(before, limit).await?.into_iter().map(ReplayReport::of).collect();
    if is_json {
        stdout::print_json(&replays)?;
    } else if replays.is_empty() {
        stdout::print("there is no replay\n")?;
    } else {
        for replay in replays {
            stdout::print(replay.line())?;
        }
    }
    Ok(())
}
