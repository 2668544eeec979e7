//! `muster pause` and `muster resume`: stop and restart all workers, one target or one batch.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::open_ledger::open_ledger;
use super::talk::talk;
use super::user;
use crate::config::Config;
use crate::operator::pausing::{self, PauseOrder, PauseScope};
use muster_core::job::Name;

/// Pauses all workers, one target or one batch, until `muster resume`.
///
/// The pause takes effect within a second. Calls in progress are finished. While everything is paused, or every target
/// of a worker, messages stay in the queue. Jobs of one target among several, or of one batch, are parked in the ledger
/// instead, so that other jobs continue; they are resent after `muster resume`. `muster holds` lists what is paused.
#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(subcommand)]
    what: PauseArguments,
    /// The reason, shown by `muster status` and `muster holds`.
    #[arg(long, global = true, default_value = "no reason given")]
    reason: String,
    /// Pauses a batch that the ledger does not know yet, before its first job arrives.
    #[arg(long, global = true)]
    new: bool,
}

/// Resumes what was paused: its parked jobs are resent.
#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(subcommand)]
    what: PauseArguments,
}

#[derive(Debug, Subcommand)]
enum PauseArguments {
    /// All workers of this ledger.
    All,
    /// One target.
    Target {
        /// Its name in the settings.
        target: Name,
    },
    /// One batch.
    Batch {
        /// Its name.
        batch: Name,
    },
}

impl Pause {
    /// Pauses and reports it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let scope = PauseScope::from(self.what);
        if let PauseScope::Target(target) = &scope {
            config.target(target)?;
        }
        let ledger = open_ledger(config).await?;
        let order = PauseOrder { scope: &scope, reason: &self.reason, is_new: self.new, who: &user::who() };
        let paused = pausing::pause(config, &ledger, &order).await;
        ledger.close().await;
        let is = if paused? { "is" } else { "was already" };
        talk(&format!("{scope} {is} paused; `muster resume {}` resumes", scope.arguments()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    /// Resumes and reports it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let scope = PauseScope::from(self.what);
        let ledger = open_ledger(config).await?;
        let resumed = pausing::resume(&ledger, &scope, &user::who()).await;
        ledger.close().await;
        resumed?;
        talk(&format!("{scope} resumed; parked jobs are being resent"));
        Ok(ExitCode::SUCCESS)
    }
}

impl From<PauseArguments> for PauseScope {
    fn from(arguments: PauseArguments) -> Self {
        match arguments {
            PauseArguments::All => Self::All,
            PauseArguments::Target { target } => Self::Target(target),
            PauseArguments::Batch { batch } => Self::Batch(batch),
        }
    }
}
