//! Single-flight: callers that ask for the same work at the same time share one run of it.
//!
//! The work runs at most once at a time, in a task of its own, so it goes on if its callers give up. A caller can also
//! reuse the result of a recent run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Work that runs at most once at a time, for all its callers.
#[derive(Debug)]
pub(crate) struct SharedCall<T> {
    /// The latest run.
    last: Mutex<Option<SharedRun<T>>>,
}

/// One run of the work.
#[derive(Clone, Debug)]
pub(crate) struct SharedRun<T> {
    began: Instant,
    /// The result of the run before it.
    before: Option<T>,
    /// The result, and when it was produced.
    outcome: watch::Receiver<Option<(Instant, T)>>,
}

/// What waiting for a run returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunResult<T> {
    /// The result of the run.
    Outcome(T),
    /// The run did not finish in time.
    Late {
        /// How long it has been running.
        since: Duration,
        /// The result of the run before it, if there was one.
        before: Option<T>,
    },
}

impl<T> Default for SharedCall<T> {
    fn default() -> Self {
        Self { last: Mutex::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> SharedCall<T> {
    /// Joins the current run, or one that finished less than `kept` ago; otherwise starts a new run.
    ///
    /// A run continues even if the caller that started it goes away.
    pub(crate) fn join<F>(&self, kept: Duration, work: impl FnOnce() -> F) -> SharedRun<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = last.as_ref().filter(|run| run.is_reusable(kept)) {
            return run.clone();
        }
        let before = last.as_ref().and_then(SharedRun::newest);
        let (sender, outcome) = watch::channel(None);
        let run = SharedRun { began: Instant::now(), before, outcome };
        *last = Some(run.clone());
        let work = work();
        tokio::spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some((Instant::now(), outcome)))
        });
        run
    }
}

impl<T: Clone> SharedRun<T> {
    /// Waits for the result of the run, at most for `timeout`.
    pub(crate) async fn wait(mut self, timeout: Duration) -> RunResult<T> {
        let waited = tokio::time::timeout(timeout, self.outcome.wait_for(Option::is_some)).await;
        let outcome = waited.ok().and_then(Result::ok).and_then(|outcome| outcome.clone());
        let (since, before) = (self.began.elapsed(), self.before);
        outcome.map_or(RunResult::Late { since, before }, |(_, outcome)| RunResult::Outcome(outcome))
    }

    fn is_reusable(&self, kept: Duration) -> bool {
        // A run whose runtime was shut down never produces a result; its channel is closed.
        let is_running = || self.outcome.has_changed().is_ok();
        self.outcome.borrow().as_ref().map_or_else(is_running, |(at, _)| at.elapsed() < kept)
    }

    /// Returns the result of this run, or else of the run before it.
    fn newest(&self) -> Option<T> {
        self.outcome.borrow().as_ref().map(|(_, outcome)| outcome.clone()).or_else(|| self.before.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_run() {
        let (flight, gate) = (SharedCall::default(), Arc::new(Semaphore::new(0)));
        let work = |outcome: u8| {
            let gate = Arc::clone(&gate);
            move || async move {
                gate.acquire().await.unwrap().forget();
                outcome
            }
        };
        let (first, second) = (flight.join(Duration::ZERO, work(1)), flight.join(Duration::ZERO, work(2)));
        let late = first.clone().wait(Duration::from_secs(1)).await;
        assert!(matches!(late, RunResult::Late { before: None, .. }), "{late:?}");
        gate.add_permits(1);
        assert_eq!(
            (first.wait(PATIENCE).await, second.wait(PATIENCE).await),
            (RunResult::Outcome(1), RunResult::Outcome(1))
        );
        assert_eq!(flight.join(PATIENCE, work(3)).wait(PATIENCE).await, RunResult::Outcome(1), "it is reused");
        let late = flight.join(Duration::ZERO, work(4)).wait(Duration::from_secs(1)).await;
        assert!(matches!(late, RunResult::Late { before: Some(1), .. }), "{late:?}");
    }
}
