//! `muster quarantine`: messages that were set aside, because they are no jobs or were dropped as dead letters.

mod choice;
mod discard;
mod list;
mod replay;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ledger;
use crate::config::Config;

/// Lists the messages that were set aside, shows one, sends them again, or drops them for good.
///
/// A message is set aside whole where its body is no job: no JSON, another version, a wrong field, a target that is not
/// configured. Dead letters that were dropped are there too. Private keys in bodies are blanked.
#[derive(Args, Debug)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    action: QuarantineAction,
}

// A text here would hide the longer one of the command's own type.
#[derive(Debug, Subcommand)]
enum QuarantineAction {
    List(list::ListQuarantined),
    Show(show::ShowQuarantined),
    Replay(replay::ReplayQuarantined),
    #[command(name = "drop")]
    Discard(discard::DiscardQuarantined),
}

impl Quarantine {
    /// Does what was asked.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = ledger::open(config).await?;
        let ended = match self.action {
            QuarantineAction::List(list) => list.run(&ledger).await,
            QuarantineAction::Show(show) => show.run(&ledger).await,
            QuarantineAction::Replay(replay) => replay.run(config, &ledger).await,
            QuarantineAction::Discard(discard) => discard.run(&ledger).await,
        };
        ledger.close().await;
        ended
    }
}
