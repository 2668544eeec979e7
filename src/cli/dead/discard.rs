//! `muster dead drop`: moves dead letters to the quarantine.

use std::process::ExitCode;

use clap::Args;

use super::sweep::{self, SweepOrder};
use crate::config::Config;
use crate::operator::dead::SweepEffect;

/// Moves dead letters to the ledger's quarantine, with the reason `dropped`.
///
/// Nothing is lost: `muster quarantine` shows them, replays them or drops them permanently. Private keys in the bodies
/// are redacted.
#[derive(Args, Debug)]
pub(super) struct DiscardDead {
    #[command(flatten)]
    order: SweepOrder,
}

impl DiscardDead {
    /// Sweeps the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        sweep::run(SweepEffect::Drop, self.order, config).await
    }
}
