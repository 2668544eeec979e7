//! `muster dead replay`: resends dead letters.

use std::process::ExitCode;

use clap::Args;

use super::sweep::{self, SweepOrder};
use crate::config::Config;
use crate::operator::dead::SweepEffect;

/// Resends dead letters to the second queue (`queue.replay`) or, if there is none, to `queue.name`.
///
/// Every message that is a job for a configured target is sent unchanged and deleted afterwards. A crash in between
/// sends it twice, which is harmless. Messages that are not jobs stay in the queue and are counted by reason. Exits
/// with 3 if any message stayed.
#[derive(Args, Debug)]
pub(super) struct ReplayDead {
    #[command(flatten)]
    order: SweepOrder,
}

impl ReplayDead {
    /// Sweeps the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        sweep::run(SweepEffect::Replay, self.order, config).await
    }
}
