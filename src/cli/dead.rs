//! `muster dead`: what lies in the dead-letter queues, sending it again, dropping it.

mod choice;
mod discard;
mod list;
mod queues;
mod reading;
mod replay;
mod sweep;
mod tally;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;

/// Lists what lies in the dead-letter queues, sends it again, or drops it.
///
/// SQS moves a message there that was received too often without an end: as a rule it killed the process, or the queue's
/// maxReceiveCount is so low that restarts use it up. The queues are found from the redrive policies of `queue.name` and
/// `queue.replay`. Looking at a message is receiving it, which counts as a delivery: that has no effect on a dead-letter
/// queue without a redrive policy of its own. It is hidden from others meanwhile, and given back in the end.
#[derive(Args, Debug)]
pub(super) struct Dead {
    #[command(subcommand)]
    action: DeadAction,
}

// A text here would hide the longer one of the command's own type.
#[derive(Debug, Subcommand)]
enum DeadAction {
    List(list::ListDead),
    Replay(replay::ReplayDead),
    #[command(name = "drop")]
    Discard(discard::DiscardDead),
}

impl Dead {
    /// Does what was asked.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.action {
            DeadAction::List(list) => list.run(config).await,
            DeadAction::Replay(replay) => replay.run(config).await,
            DeadAction::Discard(discard) => discard.run(config).await,
        }
    }
}
