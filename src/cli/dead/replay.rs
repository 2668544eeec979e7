//! `muster dead replay`: sends dead letters again.

use std::process::ExitCode;

use clap::Args;

use super::sweep::{self, SweepOrder};
use super::tally::Deed;
use crate::config::Config;

/// Sends dead letters again, to the second queue where there is one, and otherwise to the queue of jobs.
///
/// Every message that reads as a job of a configured target is sent as it is, and deleted only then: a crash in between
/// sends it twice, which is harmless. What is no job stays, and is counted with its reason. Exit code 3: something stayed.
#[derive(Args, Debug)]
pub(super) struct ReplayDead {
    #[command(flatten)]
    order: SweepOrder,
}

impl ReplayDead {
    /// Goes through the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        sweep::run(Deed::Replay, self.order, config).await
    }
}
