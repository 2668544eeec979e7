//! Reports to the ledger what receivers see before any outcome exists: that the queues are not empty, and new batches.
//!
//! Receivers never wait for the ledger: they note what arrives, and one task writes it. While Postgres fails, up to
//! 10,000 batches are kept in memory. The first outcome of a batch announces it too, so nothing depends on this.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::debug;

use crate::ledger::Ledger;
use crate::ledger::announcement::Announced;
use crate::runtime::backoff::Backoff;
use muster_core::job::{Job, Name};

/// Most batches remembered as announced. Beyond that, all are forgotten and announced again.
const REMEMBERED_MAX: usize = 10_000;

/// Minimum time between two writes.
const EVERY: Duration = Duration::from_millis(100);

/// Upper bounds of the first and of any later wait after a failed write (exponential backoff with full jitter).
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Minimum time between two reports while no new batch arrives. Outcomes report activity too.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The arrivals that are not in the ledger yet; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Arc<SharedArrivals>);

#[derive(Debug, Default)]
struct SharedArrivals {
    state: Mutex<ArrivalState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ArrivalState {
    /// The largest size announced for each batch to this process.
    announced: HashMap<Name, Option<u64>>,
    /// What the ledger does not have yet.
    new: Announced,
    reported_at: Option<tokio::time::Instant>,
}

impl Arrivals {
    /// Notes the jobs of one receive. `jobs` is empty if no body was a valid job.
    pub fn note<'a>(&self, jobs: impl Iterator<Item = &'a Job>) {
        let mut state = self.lock();
        jobs.for_each(|job| state.note(job));
        let is_due = state.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if is_due || !state.new.is_empty() {
            state.reported_at = Some(tokio::time::Instant::now());
            self.0.changed.notify_one();
        }
    }

    /// Writes noted arrivals to the ledger until the future is dropped.
    pub async fn report_to(self, ledger: Ledger) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            self.0.changed.notified().await;
            let new = mem::take(&mut self.lock().new);
            match ledger.note_arrivals(&new).await {
                Ok(()) => {
                    backoff.reset();
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => {
                    debug!(%error, "cannot record that messages arrived, retrying");
                    self.take_back(new);
                    backoff.wait().await;
                }
            }
        }
    }

    fn take_back(&self, unwritten: Announced) {
        let mut state = self.lock();
        for (batch, size) in unwritten {
            let new = state.new.entry(batch).or_default();
            *new = (*new).max(size);
        }
        drop(state);
        self.0.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, ArrivalState> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl ArrivalState {
    fn note(&mut self, job: &Job) {
        if self.announced.get(&job.batch).is_some_and(|&size| size >= job.batch_size) {
            return;
        }
        if self.announced.len() >= REMEMBERED_MAX {
            self.announced.clear();
        }
        self.announced.insert(job.batch.clone(), job.batch_size);
        if self.new.len() < REMEMBERED_MAX {
            let new = self.new.entry(job.batch.to_string()).or_default();
            *new = (*new).max(job.batch_size);
        }
    }
}
