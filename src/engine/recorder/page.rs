//! Commits a page of ends, whatever comes: one that cannot be written holds up no other.
//!
//! Where a row is to blame, or the page did not go through in its time, the page is halved until it does or a row stands
//! alone. Any other error is tried again with the whole page, for as long as it takes: nothing else may be done with an end
//! but write it. A page whose COMMIT is in doubt is not written a second time: its mark tells.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::{Finished, Pages, Recorder, WAITS};
use crate::health::breaker::Failing;
use crate::ledger::written::Mark;
use crate::ledger::{Ledger, LedgerError, Page};
use crate::runtime::backoff::Backoff;
use crate::runtime::crash_point;

/// A transaction that takes longer makes everybody wait: far above a slow one of a server that works, far below the
/// time-out, in which a worker would go on to spend calls.
const SLOW: Duration = Duration::from_secs(2);

/// Longest time-out for an end that did not go through alone.
const ALONE_MAX: Duration = Duration::from_mins(1);

/// Why a page is not written as a whole. Print it with `Display`: the `Debug` of a database error has the row in it.
#[derive(Debug, thiserror::Error)]
enum WriteFault {
    /// One of its rows is to blame.
    #[error(transparent)]
    Row(LedgerError),
    /// It did not go through in its time.
    #[error("it was not written in its time")]
    TooSlow,
}

impl Recorder {
    /// Writes ends until it is known to be through, and gives back those whose messages can go.
    ///
    /// The messages of others stay in the queue and come back when their visibility ends: no sooner, as what cannot be
    /// written now would be called for again and again.
    pub(super) async fn commit(&self, ended: Vec<Finished>, pages: &mut Pages) -> Vec<Finished> {
        let began = Instant::now();
        let mut committed = Vec::with_capacity(ended.len());
        let mut parts = vec![ended];
        while let Some(mut part) = parts.pop() {
            match self.write_part(&part, pages).await {
                Ok(()) => committed.append(&mut part),
                Err(_) if part.len() > 1 => {
                    // The first half is written first: of two ends of one key the later stays.
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(WriteFault::Row(fault)) if self.write_alone(&part, &fault, pages).await => {
                    committed.append(&mut part)
                }
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

    async fn write_part(&self, part: &[Finished], pages: &mut Pages) -> Result<(), WriteFault> {
        let (began, n_bytes) = (Instant::now(), part.iter().map(|finished| finished.delivery.n_bytes).sum());
        let page = Page { mark: Some(pages.next_mark()), ..page_of(part) };
        let written = self.write(&page, part.len() > 1).await;
        pages.took(part.len(), n_bytes, began.elapsed());
        written
    }

    /// Writes a page, again and again until it is through or a row is to blame, or it should be halved.
    async fn write(&self, page: &Page, can_be_halved: bool) -> Result<(), WriteFault> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failing = None;
        let mut ledger = self.ledger.clone();
        while let Err(error) = self.record(&ledger, page, &mut failing).await {
            self.metrics.db_error(&error);
            if error.is_rows_fault() {
                return Err(WriteFault::Row(error));
            }
            failing.get_or_insert_with(|| self.board.postgres.failing(&error.to_string()));
            if error.is_momentary() {
                backoff.reset();
            }
            warn!(%error, rows = page.rows.len(), "cannot write ends, trying again");
            if matches!(error, LedgerError::Timeout(_)) {
                match page.mark {
                    Some(mark) if can_be_halved => {
                        return if self.is_written(mark).await { Ok(()) } else { Err(WriteFault::TooSlow) };
                    }
                    _ => ledger = ledger.with_timeout((ledger.timeout() * 2).min(ALONE_MAX.max(ledger.timeout()))),
                }
            }
            backoff.wait().await;
        }
        Ok(())
    }

    /// Asks until the ledger says whether a page is written after all.
    async fn is_written(&self, mark: Mark) -> bool {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match self.ledger.is_written(mark).await {
                Ok(is_written) => return is_written,
                Err(error) => {
                    self.metrics.db_error(&error);
                    warn!(%error, "the ledger does not say whether ends are written, asking again");
                }
            }
            backoff.wait().await;
        }
    }

    /// Tries to write a page. While that takes long the ledger counts as failing: no tokens are taken for ends that could
    /// not be recorded.
    async fn record(&self, ledger: &Ledger, page: &Page, failing: &mut Option<Failing>) -> Result<(), LedgerError> {
        let mut recorded = std::pin::pin!(ledger.record(page));
        if let Ok(recorded) = tokio::time::timeout(SLOW, &mut recorded).await {
            return recorded;
        }
        failing.get_or_insert_with(|| self.board.postgres.failing("writing ends takes long"));
        recorded.await
    }

    /// Writes one outcome without the values that may be to blame, leaving out more with each try until nothing is left
    /// but the outcome itself; returns whether a try went through.
    async fn write_alone(&self, one: &[Finished], fault: &LedgerError, pages: &mut Pages) -> bool {
        let Some(sqlstate) = fault.sqlstate() else { return false };
        error!(%fault, "an outcome cannot be recorded as it is; texts that nothing depends on are left out");
        let mut page = Page { mark: Some(pages.next_mark()), ..page_of(one) };
        page.blank_texts(&format!("unstorable: {sqlstate}"));
        for leave_out in [Page::drop_requests, Page::drop_what_is_free] {
            if self.write(&page, false).await.is_ok() {
                return true;
            }
            leave_out(&mut page);
        }
        self.write(&page, false).await.is_ok()
    }
}

fn page_of(ended: &[Finished]) -> Page {
    let mut page = Page::default();
    for finished in ended {
        finished.write_to(&mut page);
    }
    page
}
