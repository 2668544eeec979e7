//! `muster holds`: lists what parked jobs wait for with the command that fixes it, and releases holds.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::open_ledger::open_ledger;
use super::stdout;
use super::user;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::holds;
use muster_core::hold::HoldKey;

/// Lists what parked jobs wait for and the command that fixes it, or releases a hold.
///
/// Jobs are parked if their CA is not registered or not active, if nearly all of their batch fails for one reason, or
/// if their target accepts no calls while another one does. A hold is released automatically when a probe succeeds; its
/// jobs are then resent.
#[derive(Args, Debug)]
pub(super) struct HoldsCommand {
    #[command(subcommand)]
    action: Option<HoldsAction>,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum HoldsAction {
    /// Releases holds: the workers resend their jobs.
    Release {
        /// Keys of the holds, as shown by `muster holds`.
        #[arg(required = true)]
        holds: Vec<String>,
    },
}

impl HoldsCommand {
    /// Lists or releases holds.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let result = match self.action {
            None => list(&ledger, self.json).await,
            Some(HoldsAction::Release { holds }) => release(&ledger, holds).await,
        };
        ledger.close().await;
        result.map(|()| ExitCode::SUCCESS)
    }
}

async fn list(ledger: &Ledger, is_json: bool) -> anyhow::Result<()> {
    let lines = holds::holds(ledger).await?;
    if is_json {
        stdout::print_json(&lines)?;
    } else if lines.is_empty() {
        stdout::print("nothing is held\n")?;
    } else {
        for line in lines {
            stdout::print(line)?;
        }
    }
    Ok(())
}

async fn release(ledger: &Ledger, keys: Vec<String>) -> anyhow::Result<()> {
    let who = user::who();
    for hold in keys.into_iter().map(HoldKey::read) {
        holds::release(ledger, hold, &who).await?;
    }
    Ok(())
}
