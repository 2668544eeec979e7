//! What runs, and how it comes to its end: front to back, inside a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::aws::queue::into_calls;
use crate::engine::slots::Slots;
use crate::ledger::Ledger;
use crate::ledger::workers::Identity;
use muster_core::format::{counted, span};

/// Longest that giving back what is held may take after the deadline.
const GIVE_BACK_TIME: Duration = Duration::from_secs(3);

/// Longest that taking leave of the ledger may take.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// The wait before giving back is tried again.
const GIVE_BACK_WAIT: Duration = Duration::from_millis(300);

/// The tasks of a service, in the order in which they end, and what their end needs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) receivers: TaskTracker,
    pub(super) jobs: TaskTracker,
    pub(super) recorder: JoinHandle<()>,
    /// Heartbeat and the like: they end when they are dropped.
    pub(super) helpers: JoinSet<()>,
    /// Cancelled where a part panicked.
    pub(super) broken: CancellationToken,
    pub(super) slots: Slots,
    pub(super) ledger: Ledger,
    /// How the ledger knows this worker.
    pub(super) identity: Arc<Identity>,
}

impl Running {
    /// Takes what is held to its end, or gives it back when the time is over.
    pub(super) async fn drain(mut self, deadline: Duration) -> anyhow::Result<()> {
        let drained = tokio::time::timeout(deadline, self.wait()).await;
        self.helpers.abort_all();
        let result = if self.broken.is_cancelled() {
            Err(anyhow::anyhow!("a part of the service broke; the log has its panic"))
        } else if drained.is_ok() {
            Ok(())
        } else {
            let held = self.give_back().await;
            Err(anyhow::anyhow!(
                "{} not finished within the drain deadline of {}",
                counted(held as u64, "job was", "jobs were"),
                span(deadline)
            ))
        };
        self.leave().await;
        self.ledger.close().await;
        result
    }

    /// Waits for the parts to end, front to back.
    async fn wait(&mut self) {
        self.receivers.close();
        self.receivers.wait().await;
        self.jobs.close();
        self.jobs.wait().await;
        // Every sender of ends is gone with the receivers and the jobs. A panic is noted by `Essential`.
        let _ = (&mut self.recorder).await;
    }

    /// Has the ledger forget this worker, so that nobody waits for its next heartbeat.
    async fn leave(&self) {
        let left = tokio::time::timeout(LEAVE_TIME, self.ledger.leave(&self.identity)).await;
        if !matches!(left, Ok(Ok(()))) {
            debug!("the ledger does not know that this worker stopped; it will find out by its missing heartbeats");
        }
    }

    /// Makes everything that is held visible at once, and tells how much it was.
    async fn give_back(&self) -> usize {
        let held = self.slots.receipts();
        let n_held = held.len();
        warn!(held = n_held, "the drain deadline has passed");
        let mut calls = JoinSet::new();
        for (queue, ten) in into_calls(held, |(queue, _)| queue) {
            let receipts: Vec<String> = ten.into_iter().map(|(_, receipt)| receipt).collect();
            calls.spawn(async move {
                while let Err(error) = queue.hide(&receipts, Duration::ZERO).await {
                    warn!(%error, "cannot give messages back");
                    tokio::time::sleep(GIVE_BACK_WAIT).await;
                }
            });
        }
        if tokio::time::timeout(GIVE_BACK_TIME, calls.join_all()).await.is_err() {
            warn!("could not give everything back; it comes back when its visibility ends");
        }
        n_held
    }
}

/// Watches over the parts without which the service must not go on: calls whose ends nobody records, for one.
#[derive(Clone, Debug)]
pub(super) struct Essential {
    stop: CancellationToken,
    /// Cancelled where a part panicked.
    pub(super) broken: CancellationToken,
}

impl Essential {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { stop, broken: CancellationToken::new() }
    }

    /// Runs a part; where it panics, the service stops.
    pub(super) fn run<F: Future>(&self, part: F) -> impl Future<Output = F::Output> + use<F> {
        let watch = StopOnPanic(self.clone());
        async move {
            let _watch = watch;
            part.await
        }
    }
}

/// Stops the service where a panic drops it.
struct StopOnPanic(Essential);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.cancel();
            self.0.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_stops_the_service() {
        let essential = Essential::new(CancellationToken::new());
        assert!(tokio::spawn(essential.run(async { panic!("as ordered") })).await.is_err());
        assert!(essential.stop.is_cancelled() && essential.broken.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_ends_in_order_stops_nothing() {
        let essential = Essential::new(CancellationToken::new());
        essential.run(async {}).await;
        assert!(!essential.stop.is_cancelled() && !essential.broken.is_cancelled());
    }
}
