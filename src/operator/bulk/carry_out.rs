//! Carries out a bulk change in the background and reports its progress to the ledger.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::order::FrozenOrder;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::bulk_change::{BulkAction, BulkChange};
use crate::operator::dead::{DeadQueues, Sweep, SweepEffect};
use crate::operator::long_task::{TaskControl, TaskCounts};
use crate::operator::quarantine::{QuarantineResend, discard};

/// How often the progress is reported, and a cancellation noticed.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Carries out a change that this process began, for `who`, and records how it ended.
pub(super) async fn carry_out(config: &Config, ledger: &Ledger, change: &BulkChange, who: &str) {
    let stop = CancellationToken::new();
    let (control, counts) = TaskControl::new(stop.clone());
    let result = tokio::select! {
        result = run(config, ledger, change, who, &control) => result,
        never = report(ledger, &change.id, counts.clone(), &stop) => match never {},
    };
    let TaskCounts { n_done, n_failed } = *counts.borrow();
    let noted = ledger.note_change_progress(&change.id, n_done, n_failed).await;
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let ended = ledger.end_change(&change.id, result.as_ref(), error.as_deref()).await;
    if let Err(error) = noted.map(drop).and(ended) {
        // It shows as interrupted.
        warn!(%error, change = change.id, "the end of a bulk change could not be recorded");
    }
}

/// Writes the progress to the ledger and stops the task once the change is cancelled there.
async fn report(
    ledger: &Ledger,
    id: &str,
    counts: watch::Receiver<TaskCounts>,
    stop: &CancellationToken,
) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let TaskCounts { n_done, n_failed } = *counts.borrow();
        match ledger.note_change_progress(id, n_done, n_failed).await {
            Ok(true) => {}
            Ok(false) => stop.cancel(),
            Err(error) => warn!(%error, change = id, "the progress of a bulk change could not be recorded"),
        }
    }
}

async fn run(
    config: &Config,
    ledger: &Ledger,
    change: &BulkChange,
    who: &str,
    control: &TaskControl,
) -> anyhow::Result<Value> {
    let order = serde_json::from_str(&change.filter).context("the plan cannot be read")?;
    match (order, change.action) {
        (FrozenOrder::Quarantine(selection), BulkAction::QuarantineDrop) => {
            let n = discard(ledger, &selection, who).await?;
            control.report(TaskCounts { n_done: n, n_failed: 0 });
            Ok(json!({ "dropped": n }))
        }
        (FrozenOrder::Quarantine(selection), _) => {
            let resend = QuarantineResend { ledger, selection: &selection, dry_run: false, who };
            let (tally, result) = resend.run(config, control).await;
            result?;
            Ok(serde_json::to_value(tally)?)
        }
        (FrozenOrder::Dead(selection), action) => {
            let effect = if action == BulkAction::DeadDrop { SweepEffect::Drop } else { SweepEffect::Replay };
            let queues = DeadQueues::open(config, None).await?;
            let sweep = Sweep { effect, selection: &selection, dry_run: false, who, ledger };
            let (tallies, result) = sweep.run(config, &queues, control).await;
            result?;
            Ok(serde_json::to_value(tallies)?)
        }
    }
}
