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
    action: Action,
}

// A text here would hide the longer one of the command's own type.
#[derive(Debug, Subcommand)]
enum Action {
    List(list::List),
    Show(show::Show),
    Replay(replay::Replay),
    #[command(name = "drop")]
    Discard(discard::Discard),
}

impl Quarantine {
    /// Does what was asked.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let ended = match self.action {
            Action::List(list) => list.run(&store).await,
            Action::Show(show) => show.run(&store).await,
            Action::Replay(replay) => replay.run(config, &store).await,
            Action::Discard(discard) => discard.run(&store).await,
        };
        store.close().await;
        ended
    }
}
