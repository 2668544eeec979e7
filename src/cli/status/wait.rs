//! `muster status --wait`: waits until a batch is over.
//!
//! A batch is over when it is complete, or when nothing more can come: the queues have been empty for two minutes, and
//! a worker has read them since the wait began. For a batch that the ledger does not know yet, the wait lasts at least
//! two minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::format::grouped;
use crate::cli::progress::Progress;
use crate::ledger::missing::{MISSING_AFTER, is_quiet};
use crate::ledger::{BatchStatus, Ledger};
use crate::operator::situation::{Severity, Situation};
use crate::operator::status::UnknownBatch;
use muster_core::advice::Advice as _;
use muster_core::job::Name;

/// Interval between reads of the counters.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The state of the queues and the fleet during a wait.
#[derive(Clone, Copy, Debug)]
struct WaitState {
    /// How long the wait has lasted.
    waited: Duration,
    /// How long the queues have been empty.
    queues_empty_for: Option<Duration>,
    /// Whether a worker has read every queue since the wait began.
    is_read: bool,
    /// Whether all work is stopped.
    is_stopped: bool,
}

/// Waits until a batch is over; returns `false` if interrupted.
///
/// # Errors
/// [`UnknownBatch`] if the batch does not appear, or a ledger error.
pub(super) async fn wait(ledger: &Ledger, name: &Name, stop: &CancellationToken) -> anyhow::Result<bool> {
    let progress = Progress::new();
    let is_over = until_over(ledger, name, stop, &progress).await;
    progress.done();
    is_over
}

async fn until_over(
    ledger: &Ledger,
    name: &Name,
    stop: &CancellationToken,
    progress: &Progress,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut reported = BTreeSet::new();
    loop {
        let batch = ledger.batch_status(name.as_str()).await?;
        if batch.as_ref().is_some_and(BatchStatus::is_complete) {
            return Ok(true);
        }
        let situation = Situation::read(ledger).await?;
        let state = WaitState {
            waited: began.elapsed(),
            queues_empty_for: ledger.queues_empty_for().await?,
            is_read: situation.queues.iter().all(|queue| queue.read_ago < began.elapsed()),
            is_stopped: report_stops(&situation, name, &mut reported, progress),
        };
        match batch {
            Some(batch) if state.is_over(&batch) => return Ok(true),
            Some(batch) => progress.show(batch.finished(), batch.announced, &message(&batch)),
            None if state.should_give_up() => return Err(UnknownBatch::of(ledger, name).await?.into()),
            None if reported.insert(name.to_string()) => {
                let unknown = UnknownBatch::of(ledger, name).await?;
                progress.say(&format!("{unknown} yet, waiting for it: {}", unknown.hint().unwrap_or_default()));
            }
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Prints each obstacle that stops all work, once, and returns whether there is any.
fn report_stops(situation: &Situation, name: &Name, reported: &mut BTreeSet<String>, progress: &Progress) -> bool {
    let mut obstacles = situation.obstacles_of(name, &[], &[]);
    obstacles.retain(|obstacle| obstacle.severity == Severity::Stopped);
    for obstacle in &obstacles {
        if reported.insert(format!("stopped by {}", obstacle.kind)) {
            progress.say(obstacle.to_string().trim_end());
        }
    }
    !obstacles.is_empty()
}

impl WaitState {
    /// Returns whether the outstanding certificates are missing. A batch of unknown size is over when nothing more can
    /// come.
    fn is_over(self, batch: &BatchStatus) -> bool {
        let is_drained = batch.announced.is_none() && batch.parked() == 0 && is_quiet(self.queues_empty_for);
        let is_missing = batch.missing(self.queues_empty_for).is_some_and(|n| n > 0);
        (is_drained || is_missing) && self.is_read && !self.is_stopped
    }

    /// Returns whether an unknown batch is not going to appear.
    fn should_give_up(self) -> bool {
        self.waited >= MISSING_AFTER && is_quiet(self.queues_empty_for) && !self.is_stopped
    }
}

fn message(batch: &BatchStatus) -> String {
    let failed = grouped(batch.failed());
    match batch.parked() {
        0 => format!("outcomes, {failed} failed"),
        parked => format!("outcomes, {failed} failed, {} parked", grouped(parked)),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::ledger::batch::Count;
    use muster_core::outcome::Code;

    fn batch(announced: Option<u64>, registered: u64, parked: u64) -> BatchStatus {
        let at = OffsetDateTime::UNIX_EPOCH;
        let count = |code: Code, n| {
            let (source, status) = (String::new(), code.status());
            Count { source, status, code, n, n_status_differs: 0, first_at: at, last_at: at }
        };
        BatchStatus {
            announced,
            counts: vec![count(Code::Ok, registered), count(Code::IssuerInactive, parked)],
            ..BatchStatus::default()
        }
    }

    fn state(queues_empty_for: Option<Duration>) -> WaitState {
        WaitState { waited: Duration::from_secs(20), queues_empty_for, is_read: true, is_stopped: false }
    }

    fn is_over(batch: &BatchStatus, queues_empty_for: Option<Duration>) -> bool {
        state(queues_empty_for).is_over(batch)
    }

    #[test]
    fn messages_in_flight_and_parked_jobs_are_waited_for() {
        assert!(!is_over(&batch(Some(5), 4, 0), None));
        assert!(!is_over(&batch(Some(5), 4, 0), Some(Duration::from_secs(119))));
        assert!(!is_over(&batch(Some(5), 3, 2), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 3, 2), Some(MISSING_AFTER)));
    }

    #[test]
    fn a_batch_is_over_once_the_queues_stay_empty() {
        assert!(is_over(&batch(Some(5), 4, 0), Some(MISSING_AFTER)));
        assert!(is_over(&batch(None, 4, 0), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 4, 0), None));
    }

    #[test]
    fn a_batch_is_not_over_while_queues_are_unread_or_work_is_stopped() {
        let unread = WaitState { is_read: false, ..state(Some(MISSING_AFTER)) };
        assert!(!unread.is_over(&batch(Some(5), 4, 0)));
        let stopped = WaitState { is_stopped: true, ..state(Some(MISSING_AFTER)) };
        assert!(!stopped.is_over(&batch(Some(5), 4, 0)));
    }

    #[test]
    fn an_unknown_batch_is_given_up_after_two_minutes() {
        let state = state(Some(MISSING_AFTER * 10));
        assert!(!state.should_give_up());
        assert!(WaitState { waited: MISSING_AFTER, ..state }.should_give_up());
        assert!(!WaitState { waited: MISSING_AFTER, queues_empty_for: None, ..state }.should_give_up());
    }
}
