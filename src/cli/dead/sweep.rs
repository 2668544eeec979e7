//! What `muster dead replay` and `muster dead drop` share.

use std::process::ExitCode;

use clap::Args;

use super::choice::DeadChoice;
use crate::cli::change_flags::ChangeFlags;
use crate::cli::open_ledger::open_ledger;
use crate::cli::progress::Progress;
use crate::cli::{exit, signals, stdout, user};
use crate::config::Config;
use crate::operator::dead::{DeadQueues, DeadSelection, JobQueue, Sweep, SweepEffect, SweepTally};
use crate::operator::long_task::TaskControl;

/// The arguments of a sweep.
#[derive(Args, Debug)]
pub(super) struct SweepOrder {
    #[command(flatten)]
    choice: DeadChoice,
    /// Reads only the dead-letter queue of this job queue [default: both].
    #[arg(long, value_name = "QUEUE")]
    queue: Option<JobQueue>,
    #[command(flatten)]
    flags: ChangeFlags,
}

/// Asks for confirmation, sweeps every dead-letter queue, and prints the result.
pub(super) async fn run(effect: SweepEffect, order: SweepOrder, config: &Config) -> anyhow::Result<ExitCode> {
    let (queues, selection) = (DeadQueues::open(config, order.queue).await?, order.choice.selection());
    let verb = if effect == SweepEffect::Replay { "Resend" } else { "Drop" };
    let question = format!("{verb} {} of {}", selection.described(), queues.described());
    if let Some(unconfirmed) = order.flags.confirm(&question)? {
        return Ok(unconfirmed);
    }
    let (ledger, progress, stop) = (open_ledger(config).await?, Progress::new(), signals::stop_token()?);
    let (control, counts) = TaskControl::new(stop.clone());
    let dry_run = order.flags.dry_run;
    let sweep = Sweep { effect, selection: &selection, dry_run, who: &user::who(), ledger: &ledger };
    let total = queues.dead.iter().map(|dead| dead.attributes.messages()).sum();
    let task = sweep.run(config, &queues, &control);
    let (tallies, swept) = progress.follow(task, counts, Some(total), "dead letters").await;
    ledger.close().await;
    print(&tallies, order.flags.json)?;
    let n_missing = n_missing(&selection, &tallies);
    if n_missing > 0 && !stop.is_cancelled() {
        progress.say(&format!(
            "{n_missing} of the named messages were not found: they are gone, or held by another consumer"
        ));
    }
    swept?;
    if stop.is_cancelled() {
        progress.say("interrupted: run the same command again to continue");
        return Ok(exit::INTERRUPTED.into());
    }
    let have_some_stayed = tallies.iter().any(SweepTally::has_leftovers) || n_missing > 0;
    Ok(if have_some_stayed && !dry_run { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS })
}

fn print(tallies: &[SweepTally], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        stdout::print_json(tallies)?;
    } else {
        for tally in tallies {
            stdout::print(tally)?;
        }
    }
    Ok(())
}

/// Returns how many of the named messages were not found.
fn n_missing(selection: &DeadSelection, tallies: &[SweepTally]) -> u64 {
    let n_named = selection.n_named().unwrap_or_default() as u64;
    n_named.saturating_sub(tallies.iter().map(SweepTally::n_found).sum())
}
