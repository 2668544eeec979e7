//! `muster dead drop`: takes dead letters out of the way.

use std::process::ExitCode;

use clap::Args;

use super::sweep::{self, SweepOrder};
use super::tally::Deed;
use crate::config::Config;

/// Moves dead letters to the quarantine of the ledger, with the reason `dropped`.
///
/// So nothing is lost: `muster quarantine` shows them, sends them again or drops them for good. Private keys in them are
/// blanked.
#[derive(Args, Debug)]
pub(super) struct DiscardDead {
    #[command(flatten)]
    order: SweepOrder,
}

impl DiscardDead {
    /// Goes through the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        sweep::run(Deed::Drop, self.order, config).await
    }
}
