//! `muster dead drop`: takes dead letters out of the way.

use std::process::ExitCode;

use clap::Args;

use super::choice::Choice;
use super::queues::Of;
use super::sweep::{self, Order};
use super::tally::Deed;
use crate::config::Config;

/// Moves dead letters to the quarantine of the ledger, with the reason `dropped`.
///
/// So nothing is lost: `muster quarantine` shows them, sends them again or drops them for good. Private keys in them are
/// blanked.
#[derive(Args, Debug)]
pub(super) struct Discard {
    #[command(flatten)]
    choice: Choice,
    /// Whose dead-letter queue; both by default.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<Of>,
    /// Only counts what would be dropped.
    #[arg(long)]
    dry_run: bool,
    /// Asks nothing.
    #[arg(long)]
    yes: bool,
    /// Prints the numbers as JSON.
    #[arg(long)]
    json: bool,
}

impl Discard {
    /// Goes through the dead-letter queues.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { choice, queue: of, dry_run, yes, json } = self;
        sweep::run(Order { deed: Deed::Drop, choice, of, dry_run, yes, json }, config).await
    }
}
