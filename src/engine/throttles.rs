//! Counts this worker's throttled calls until they are in the ledger's history.
//!
//! A call only adds to a count in memory; the worker's heartbeat writes the counts. They are subtracted once they are
//! committed, so they survive a failing ledger. A COMMIT in doubt can count them twice, and a killed worker loses those
//! since its last heartbeat, three seconds' worth: good enough for a chart, and a throttle costs no statement.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::ledger::history::ThrottleCounts;
use crate::ledger::{Ledger, LedgerError};
use muster_core::job::{Name, Operation};

/// The throttled calls that are not in the ledger yet; clones share them.
#[derive(Clone, Debug)]
pub struct Throttles(Arc<SharedThrottles>);

#[derive(Debug)]
struct SharedThrottles {
    /// Random number of the rows. Not that of the recorder: a heartbeat must not wait for a page.
    writer: i64,
    counts: Mutex<ThrottleCounts>,
    /// Held while counts are written, so that no other call writes the same ones.
    writing: tokio::sync::Mutex<()>,
}

impl Default for Throttles {
    fn default() -> Self {
        let (counts, writing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(SharedThrottles { writer: fastrand::i64(..), counts, writing }))
    }
}

impl Throttles {
    /// Notes that AWS throttled a call.
    pub fn note(&self, target: &Name, operation: Operation) {
        *self.lock().entry((target.to_string(), operation)).or_default() += 1;
    }

    /// Writes the counts to the ledger.
    ///
    /// # Errors
    /// The ledger failed; the next call writes the counts again.
    pub async fn write_to(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let _writing = self.0.writing.lock().await;
        let counts = self.lock().clone();
        if counts.is_empty() {
            return Ok(());
        }
        ledger.add_throttles(self.0.writer, &counts).await?;
        self.subtract(&counts);
        Ok(())
    }

    /// Removes what was written. Calls throttled meanwhile stay.
    fn subtract(&self, written: &ThrottleCounts) {
        self.lock().retain(|key, n| {
            *n -= written.get(key).copied().unwrap_or(0);
            *n > 0
        });
    }

    fn lock(&self) -> MutexGuard<'_, ThrottleCounts> {
        self.0.counts.lock().expect("nothing panics while it holds this lock")
    }
}
