//! The progress of a task that takes a while, and how to stop it.
//!
//! A command shows the progress on the terminal; the ops page writes it to the ledger. Both use the same task.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TaskCounts {
    /// Things that were changed.
    pub n_done: u64,
    /// Things that could not be changed.
    pub n_failed: u64,
}

/// The task's end: it reports its progress and asks whether to stop.
#[derive(Clone, Debug)]
pub struct TaskControl {
    counts: watch::Sender<TaskCounts>,
    stop: CancellationToken,
}

impl TaskControl {
    /// Creates a control and the receiver of the progress. The task stops after its current page when `stop` is
    /// cancelled.
    pub fn new(stop: CancellationToken) -> (Self, watch::Receiver<TaskCounts>) {
        let (counts, receiver) = watch::channel(TaskCounts::default());
        (Self { counts, stop }, receiver)
    }

    /// Reports how far the task is.
    pub fn report(&self, counts: TaskCounts) {
        self.counts.send_replace(counts);
    }

    /// Returns whether the task should stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Returns the token that stops the task.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}
