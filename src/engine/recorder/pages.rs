//! Collects outcomes for one transaction (group commit): by number, by bytes and by time.
//!
//! After a page that was slow to write, pages are smaller until writes are fast again: over a slow link to Postgres, no
//! page may be so large that it cannot be written within the timeout.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Finished;
use crate::ledger::written::{Mark, Marks};

/// Maximum number of outcomes in one transaction: more rows do not raise the throughput further.
const OUTCOMES_MAX: usize = 200;

/// Lowest and highest limit on the message bytes of one transaction.
const BYTES_BOUNDS: (usize, usize) = (64 << 10, 8 << 20);

/// Maximum time that an outcome waits for others.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// A page written in less than the first time may be followed by a larger one; a page that takes longer than the
/// second, by smaller ones.
const FAST_AND_SLOW: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// The pages of a recorder.
#[derive(Debug)]
pub(super) struct Pages {
    bytes_max: usize,
    marks: Marks,
}

impl Default for Pages {
    fn default() -> Self {
        Self { bytes_max: BYTES_BOUNDS.1, marks: Marks::default() }
    }
}

impl Pages {
    /// Waits for an outcome, then collects more until the page is full or [`WAIT_MAX`] has passed. Returns `None` when
    /// all senders are dropped.
    pub(super) async fn next_page(&self, incoming: &mut mpsc::Receiver<Finished>) -> Option<Vec<Finished>> {
        let first = incoming.recv().await?;
        let mut n_bytes = first.delivery.n_bytes;
        let mut page = vec![first];
        let until = Instant::now() + WAIT_MAX;
        while page.len() < OUTCOMES_MAX && n_bytes < self.bytes_max {
            let Ok(Some(finished)) = tokio::time::timeout_at(until, incoming.recv()).await else { break };
            n_bytes += finished.delivery.n_bytes;
            page.push(finished);
        }
        Some(page)
    }

    /// Returns the mark for the next page to write.
    pub(super) fn next_mark(&mut self) -> Mark {
        self.marks.next_mark()
    }

    /// Notes how long an attempt to write a page of this size took, whether or not it succeeded.
    pub(super) fn note_write(&mut self, n_outcomes: usize, n_bytes: usize, time: Duration) {
        if time > FAST_AND_SLOW.1 && n_outcomes > 1 {
            self.bytes_max = (n_bytes.min(self.bytes_max) / 2).max(BYTES_BOUNDS.0);
        } else if time < FAST_AND_SLOW.0 && n_bytes > self.bytes_max / 2 {
            self.bytes_max = (self.bytes_max * 2).min(BYTES_BOUNDS.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn pages_shrink_while_writes_are_slow_and_grow_again() {
        let mut pages = Pages::default();
        for _ in 0..20 {
            pages.note_write(100, pages.bytes_max, LONG);
        }
        assert_eq!(pages.bytes_max, BYTES_BOUNDS.0);
        pages.note_write(10, 1000, SHORT);
        assert_eq!(pages.bytes_max, BYTES_BOUNDS.0, "a small page says nothing about larger ones");
        for _ in 0..20 {
            pages.note_write(100, pages.bytes_max, SHORT);
        }
        assert_eq!(pages.bytes_max, BYTES_BOUNDS.1);
    }

    #[test]
    fn a_slow_page_of_one_outcome_does_not_shrink_pages() {
        let mut pages = Pages::default();
        pages.note_write(1, BYTES_BOUNDS.1, LONG);
        assert_eq!(pages.bytes_max, BYTES_BOUNDS.1);
    }
}
