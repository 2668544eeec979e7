//! `muster dead replay`: sends dead letters again.

use std::process::ExitCode;

use clap::Args;

use super::choice::Choice;
use super::queues::Of;
use super::sweep::{self, Order};
use super::tally::Deed;
use crate::config::Config;

/// Sends dead letters again, to the second queue where there is one, and otherwise to the queue of jobs.
///
/// Every message that reads as a job of a configured target is sent as it is, and deleted only then: a crash in between
/// sends it twice, which is harmless. What is no job stays, and is counted with its reason. Exit code 3: something stayed.
#[derive(Args, Debug)]
pub(super) struct Replay {
    #[command(flatten)]
    choice: Choice,
    /// Whose dead-letter queue; both by default.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<Of>,
    /// Only counts what would be sent, and what is no job.
    #[arg(long)]
    dry_run: bool,
    /// Asks nothing.
    #[arg(long)]
    yes: bool,
    /// Prints the numbers as JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Goes through the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { choice, queue: of, dry_run, yes, json } = self;
        sweep::run(Order { deed: Deed::Replay, choice, of, dry_run, yes, json }, config).await
    }
}
