//! `muster dead`: lists, replays and drops dead letters.

mod choice;
mod discard;
mod list;
mod replay;
mod sweep;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;

/// Lists, replays or drops the messages in the dead-letter queues.
///
/// SQS moves a message to the dead-letter queue if it was received too often without being deleted. Usually it killed
/// the process, or the queue's maxReceiveCount is so low that restarts use it up. The dead-letter queues are found
/// through the redrive policies of `queue.name` and `queue.replay`. To read a message, Muster has to receive it, which
/// counts as a delivery; this has no effect on a dead-letter queue without a redrive policy of its own. Meanwhile the
/// message is hidden from other consumers; afterwards it is released.
#[derive(Args, Debug)]
pub(super) struct Dead {
    #[command(subcommand)]
    action: DeadAction,
}

// No doc comments here: they would hide the longer text of the command's own type.
#[derive(Debug, Subcommand)]
enum DeadAction {
    List(list::ListDead),
    Replay(replay::ReplayDead),
    #[command(name = "drop")]
    Discard(discard::DiscardDead),
}

impl Dead {
    /// Runs the subcommand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.action {
            DeadAction::List(list) => list.run(config).await,
            DeadAction::Replay(replay) => replay.run(config).await,
            DeadAction::Discard(discard) => discard.run(config).await,
        }
    }
}
