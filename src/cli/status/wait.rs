//! `muster status --wait`: waits until a batch is over.
//!
//! A batch is over when it is complete, or when nothing more can come: the queues have been empty for two minutes, and
//! a worker has read them since the wait began. For a batch that the ledger does not know yet, the wait lasts at least
//! two minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::unknown::UnknownBatch;
use crate::cli::format::grouped;
use crate::cli::progress::Progress;
use crate::ledger::reading::{MISSING_AFTER, is_quiet};
use crate::ledger::{BatchStatus, Ledger};
use crate::operator::situation::{Severity, Situation};
use muster_core::advice::Advice as _;
use muster_core::job::Name;

/// How often the counters are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The state of the queues and the fleet during a wait.
#[derive(Clone, Copy, Debug)]
struct Outlook {
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
    let over = until_over(ledger, name, stop, &progress).await;
    progress.done();
    over
}

async fn until_over(
    ledger: &Ledger,
    name: &Name,
    stop: &CancellationToken,
    progress: &Progress,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut said = BTreeSet::new();
    loop {
        let batch = ledger.batch_status(name.as_str()).await?;
        if batch.as_ref().is_some_and(BatchStatus::is_complete) {
            return Ok(true);
        }
        let situation = Situation::read(ledger).await?;
        let outlook = Outlook {
            waited: began.elapsed(),
            queues_empty_for: ledger.queues_empty_for().await?,
            is_read: situation.queues.iter().all(|queue| queue.read_ago < began.elapsed()),
            is_stopped: say_what_stops_it(&situation, name, &mut said, progress),
        };
        match batch {
            Some(batch) if outlook.is_over(&batch) => return Ok(true),
            Some(batch) => progress.show(batch.finished(), batch.announced, &message(&batch)),
            None if outlook.is_in_vain() => return Err(UnknownBatch::of(ledger, name).await?.into()),
            None if said.insert(name.to_string()) => {
                let unknown = UnknownBatch::of(ledger, name).await?;
                progress.say(&format!("{unknown} yet, waiting for it: {}", unknown.hint().unwrap_or_default()));
            }
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Prints each thing that stops everything, once, and returns whether there is any.
fn say_what_stops_it(situation: &Situation, name: &Name, said: &mut BTreeSet<String>, progress: &Progress) -> bool {
    let mut obstacles = situation.obstacles_of(name, &[], &[]);
    obstacles.retain(|obstacle| obstacle.severity == Severity::Stopped);
    for stop in &obstacles {
        if said.insert(format!("stopped by {}", stop.kind)) {
            progress.say(stop.to_string().trim_end());
        }
    }
    !obstacles.is_empty()
}

impl Outlook {
    /// Returns whether the outstanding certificates are missing. A batch of unknown size is over when nothing more
    /// comes.
    fn is_over(self, batch: &BatchStatus) -> bool {
        let is_last = batch.announced.is_none() && batch.parked() == 0 && is_quiet(self.queues_empty_for);
        let is_missing = batch.missing(self.queues_empty_for).is_some_and(|n| n > 0);
        (is_last || is_missing) && self.is_read && !self.is_stopped
    }

    /// Returns whether an unknown batch is not going to appear.
    fn is_in_vain(self) -> bool {
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

    fn outlook(queues_empty_for: Option<Duration>) -> Outlook {
        Outlook { waited: Duration::from_secs(20), queues_empty_for, is_read: true, is_stopped: false }
    }

    fn is_over(batch: &BatchStatus, queues_empty_for: Option<Duration>) -> bool {
        outlook(queues_empty_for).is_over(batch)
    }

    #[test]
    fn what_may_be_on_its_way_or_sent_again_is_waited_for() {
        assert!(!is_over(&batch(Some(5), 4, 0), None));
        assert!(!is_over(&batch(Some(5), 4, 0), Some(Duration::from_secs(119))));
        assert!(!is_over(&batch(Some(5), 3, 2), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 3, 2), Some(MISSING_AFTER)));
    }

    #[test]
    fn a_batch_is_over_when_nothing_more_comes() {
        assert!(is_over(&batch(Some(5), 4, 0), Some(MISSING_AFTER)));
        assert!(is_over(&batch(None, 4, 0), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 4, 0), None));
    }

    #[test]
    fn what_the_queues_held_before_the_wait_began_says_nothing() {
        let unread = Outlook { is_read: false, ..outlook(Some(MISSING_AFTER)) };
        assert!(!unread.is_over(&batch(Some(5), 4, 0)));
        let stopped = Outlook { is_stopped: true, ..outlook(Some(MISSING_AFTER)) };
        assert!(!stopped.is_over(&batch(Some(5), 4, 0)));
    }

    #[test]
    fn an_unknown_batch_is_waited_for_two_minutes_from_the_start() {
        let outlook = outlook(Some(MISSING_AFTER * 10));
        assert!(!outlook.is_in_vain());
        assert!(Outlook { waited: MISSING_AFTER, ..outlook }.is_in_vain());
        assert!(!Outlook { waited: MISSING_AFTER, queues_empty_for: None, ..outlook }.is_in_vain());
    }
}
