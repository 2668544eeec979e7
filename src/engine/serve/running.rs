//! The running tasks of the service, and how they are drained: front to back, within a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::aws::queue::into_calls;
use crate::engine::slots::Slots;
use crate::engine::throttles::Throttles;
use crate::ledger::Ledger;
use crate::ledger::workers::Identity;
use muster_core::format::{counted, span};

/// Maximum time for releasing held messages after the deadline.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(3);

/// Maximum time for the last report of this worker to the ledger.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// The wait before a release is retried.
const RELEASE_RETRY_WAIT: Duration = Duration::from_millis(300);

/// The tasks of a service, in the order in which they stop, and what stopping them needs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) receivers: TaskTracker,
    pub(super) jobs: TaskTracker,
    pub(super) recorder: JoinHandle<()>,
    /// Background tasks such as the heartbeat; they are aborted at the end of the drain.
    pub(super) helpers: JoinSet<()>,
    /// Cancelled if a part panicked.
    pub(super) broken: CancellationToken,
    pub(super) slots: Slots,
    pub(super) ledger: Ledger,
    /// This worker's identity in the ledger.
    pub(super) identity: Arc<Identity>,
    /// The throttled calls since the last heartbeat.
    pub(super) throttles: Throttles,
}

impl Running {
    /// Brings the held jobs to an outcome, or releases their messages when the deadline has passed.
    pub(super) async fn drain(mut self, deadline: Duration) -> anyhow::Result<()> {
        let drained = tokio::time::timeout(deadline, self.wait()).await;
        self.helpers.abort_all();
        let result = if self.broken.is_cancelled() {
            Err(anyhow::anyhow!("a part of the service panicked; the log has the panic message"))
        } else if drained.is_ok() {
            Ok(())
        } else {
            let n_held = self.release_held().await;
            Err(anyhow::anyhow!(
                "{} not finished within the drain deadline of {}",
                counted(n_held as u64, "job was", "jobs were"),
                span(deadline)
            ))
        };
        self.leave().await;
        self.ledger.close().await;
        result
    }

    /// Waits for the parts to stop, front to back.
    async fn wait(&mut self) {
        self.receivers.close();
        self.receivers.wait().await;
        self.jobs.close();
        self.jobs.wait().await;
        // The receivers and jobs held all senders, so the recorder now stops. `Essential` notices a panic.
        let _ = (&mut self.recorder).await;
    }

    /// Removes this worker from the ledger, so that no one waits for its next heartbeat, and writes the last throttled
    /// calls.
    async fn leave(&self) {
        let leave = async {
            self.ledger.leave(&self.identity).await?;
            self.throttles.write_to(&self.ledger).await
        };
        if !matches!(tokio::time::timeout(LEAVE_TIME_MAX, leave).await, Ok(Ok(()))) {
            debug!("cannot report to the ledger that this worker stopped; its missing heartbeats will show it");
        }
    }

    /// Releases all held messages; returns how many were held.
    async fn release_held(&self) -> usize {
        let held = self.slots.receipts();
        let n_held = held.len();
        warn!(held = n_held, "the drain deadline has passed");
        let mut calls = JoinSet::new();
        for (queue, ten) in into_calls(held, |(queue, _)| queue) {
            let receipts: Vec<String> = ten.into_iter().map(|(_, receipt)| receipt).collect();
            calls.spawn(async move {
                while let Err(error) = queue.hide(&receipts, Duration::ZERO).await {
                    warn!(%error, "cannot release messages");
                    tokio::time::sleep(RELEASE_RETRY_WAIT).await;
                }
            });
        }
        if tokio::time::timeout(RELEASE_TIME_MAX, calls.join_all()).await.is_err() {
            warn!("could not release all messages; the rest reappear when their visibility timeout expires");
        }
        n_held
    }
}

/// Watches over the parts without which the service must not keep running: without the recorder, for example, it would
/// make calls whose outcomes are lost.
#[derive(Clone, Debug)]
pub(super) struct Essential {
    stop: CancellationToken,
    /// Cancelled if a part panicked.
    pub(super) broken: CancellationToken,
}

impl Essential {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { stop, broken: CancellationToken::new() }
    }

    /// Runs a part; if it panics, the service stops.
    pub(super) fn run<F: Future>(&self, part: F) -> impl Future<Output = F::Output> + use<F> {
        let watch = StopOnPanic(self.clone());
        async move {
            let _watch = watch;
            part.await
        }
    }
}

/// Stops the service if it is dropped by a panic.
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
        assert!(tokio::spawn(essential.run(async { panic!("on purpose") })).await.is_err());
        assert!(essential.stop.is_cancelled() && essential.broken.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_finishes_normally_stops_nothing() {
        let essential = Essential::new(CancellationToken::new());
        essential.run(async {}).await;
        assert!(!essential.stop.is_cancelled() && !essential.broken.is_cancelled());
    }
}
