//! The circuit breaker of a shared dependency, Postgres or SQS: open as long as any caller retries without success.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use tracing::{info, warn};

use super::Changes;
use muster_core::format::span;

/// The state of a shared dependency; clones share it.
#[derive(Clone, Debug)]
pub struct Dependency(Arc<SharedDependency>);

#[derive(Debug)]
struct SharedDependency {
    name: &'static str,
    state: Mutex<DependencyState>,
    changes: Changes,
}

#[derive(Debug, Default)]
struct DependencyState {
    n_failing: usize,
    since: Option<Instant>,
    reason: String,
}

/// Marks one caller as failing; drop it when an attempt succeeds or the caller gives up.
#[derive(Debug)]
pub struct Failing(Dependency);

impl Dependency {
    /// Creates a dependency that works.
    pub fn new(name: &'static str, changes: Changes) -> Self {
        Self(Arc::new(SharedDependency { name, state: Mutex::default(), changes }))
    }

    /// Marks the dependency as failing until the returned guard is dropped.
    pub fn failing(&self, reason: &str) -> Failing {
        let mut state = self.lock();
        state.n_failing += 1;
        reason.clone_into(&mut state.reason);
        if state.since.is_none() {
            state.since = Some(Instant::now());
            drop(state);
            warn!(breaker = self.0.name, reason, "open: no calls are made until it works again");
            self.0.changes.notify();
        }
        Failing(self.clone())
    }

    /// Returns the last reason why it fails, or `None` if it works.
    pub fn open(&self) -> Option<String> {
        let state = self.lock();
        state.since.map(|_| state.reason.clone())
    }

    fn recovered(&self) {
        let mut state = self.lock();
        state.n_failing -= 1;
        if state.n_failing > 0 {
            return;
        }
        let Some(since) = state.since.take() else { return };
        drop(state);
        info!(breaker = self.0.name, open_for = span(since.elapsed()), "closed: calls are made again");
        self.0.changes.notify();
    }

    fn lock(&self) -> MutexGuard<'_, DependencyState> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.recovered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dependency_fails_until_its_last_caller_recovers() {
        let postgres = Dependency::new("postgres", Changes::default());
        assert_eq!(postgres.open(), None);
        let one = postgres.failing("refused");
        let two = postgres.failing("timed out");
        drop(one);
        assert_eq!(postgres.open().as_deref(), Some("timed out"));
        drop(two);
        assert_eq!(postgres.open(), None);
    }

    #[tokio::test]
    async fn watchers_are_woken_on_failure_and_recovery() {
        let changes = Changes::default();
        let postgres = Dependency::new("postgres", changes.clone());
        let mut watch = changes.watch();
        let failing = postgres.failing("refused");
        watch.changed().await;
        drop(failing);
        watch.changed().await;
    }
}
