//! Commits a page of ends, whatever comes: one that cannot be written holds up no other.
//!
//! Where a row is to blame, the page is halved until the row stands alone. Any other error is tried again with the whole
//! page, for as long as it takes: nothing else may be done with an end but write it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::{Finished, Recorder, WAITS};
use crate::backoff::Backoff;
use crate::breaker::Failing;
use crate::crash_point;
use crate::store::{Page, StoreError};

/// A transaction that takes longer makes everybody wait: far above a slow one of a server that works, far below the
/// time-out, in which a worker would go on to spend calls.
const SLOW: Duration = Duration::from_secs(2);

impl Recorder {
    /// Writes ends until it is known to be through, and gives back those whose messages can go.
    ///
    /// The messages of others stay in the queue and come back when their visibility ends: no sooner, as what cannot be
    /// written now would be called for again and again.
    pub(super) async fn commit(&self, ended: Vec<Finished>) -> Vec<Finished> {
        let began = Instant::now();
        let mut committed = Vec::with_capacity(ended.len());
        let mut parts = vec![ended];
        while let Some(mut part) = parts.pop() {
            match self.write(&page_of(&part)).await {
                Ok(()) => committed.append(&mut part),
                Err(_) if part.len() > 1 => {
                    // The first half is written first: of two ends of one key the later stays.
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(fault) if self.write_alone(&part, &fault).await => committed.append(&mut part),
                Err(fault) => error!(%fault, "an outcome cannot be recorded at all; its message stays in the queue"),
            }
        }
        crash_point::reached("committed");
        self.metrics.record_flush_duration.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a page has at most a few hundred rows")]
        self.metrics.record_flush_rows.observe(committed.len() as f64);
        for finished in &committed {
            self.tell(finished);
        }
        committed
    }

    /// Writes a page, again and again until it is through or a row is to blame.
    async fn write(&self, page: &Page) -> Result<(), StoreError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failing = None;
        while let Err(error) = self.record(page, &mut failing).await {
            self.metrics.db_error(&error);
            if error.is_rows_fault() {
                return Err(error);
            }
            failing.get_or_insert_with(|| self.breakers.postgres.failing(&error.to_string()));
            if error.is_momentary() {
                backoff.reset();
            }
            warn!(%error, rows = page.rows.len(), "cannot write ends, trying again");
            backoff.wait().await;
        }
        Ok(())
    }

    /// Tries to write a page. While that takes long the ledger counts as failing: no tokens are taken for ends that could
    /// not be recorded.
    async fn record(&self, page: &Page, failing: &mut Option<Failing>) -> Result<(), StoreError> {
        let mut recorded = std::pin::pin!(self.store.record(page));
        if let Ok(recorded) = tokio::time::timeout(SLOW, &mut recorded).await {
            return recorded;
        }
        failing.get_or_insert_with(|| self.breakers.postgres.failing("writing ends takes long"));
        recorded.await
    }

    /// Writes one outcome without the values that may be to blame, leaving out more with each try until nothing is left
    /// but the outcome itself; returns whether a try went through.
    async fn write_alone(&self, one: &[Finished], fault: &StoreError) -> bool {
        let Some(sqlstate) = fault.sqlstate() else { return false };
        error!(%fault, "an outcome cannot be recorded as it is; texts that nothing depends on are left out");
        let mut page = page_of(one);
        page.blank_texts(&format!("unstorable: {sqlstate}"));
        for leave_out in [Page::drop_requests, Page::drop_what_is_free] {
            if self.write(&page).await.is_ok() {
                return true;
            }
            leave_out(&mut page);
        }
        self.write(&page).await.is_ok()
    }
}

fn page_of(ended: &[Finished]) -> Page {
    let mut page = Page::default();
    for finished in ended {
        finished.write_to(&mut page);
    }
    page
}
