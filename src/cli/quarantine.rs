//! `muster quarantine`: messages that are not jobs, or that were dropped as dead letters.

mod choice;
mod discard;
mod list;
mod replay;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::open_ledger::open_ledger;
use crate::config::Config;

/// Lists quarantined messages, shows one, replays them, or drops them permanently.
///
/// A message is quarantined if its body is not a job: not JSON, an unknown version, a wrong field, or a target that is
/// not configured. `muster dead drop` moves dead letters here, too. Private keys in the bodies are redacted.
#[derive(Args, Debug)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    action: QuarantineAction,
}

// No doc comments here: they would hide the longer text of the command's own type.
#[derive(Debug, Subcommand)]
enum QuarantineAction {
    List(list::ListQuarantined),
    Show(show::ShowQuarantined),
    Replay(replay::ReplayQuarantined),
    #[command(name = "drop")]
    Discard(discard::DiscardQuarantined),
}

impl Quarantine {
    /// Runs the subcommand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let result = match self.action {
            QuarantineAction::List(list) => list.run(&ledger).await,
            QuarantineAction::Show(show) => show.run(&ledger).await,
            QuarantineAction::Replay(replay) => replay.run(config, &ledger).await,
            QuarantineAction::Discard(discard) => discard.run(&ledger).await,
        };
        ledger.close().await;
        result
    }
}
