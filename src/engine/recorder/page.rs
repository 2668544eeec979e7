//! Commits a page of outcomes: one that cannot be written blocks no other.
//!
//! If a row is at fault, or the write times out, the page is halved until it is committed or one row is left. Any other
//! error is retried with the whole page, without limit: the only thing to do with an outcome is to write it. A page
//! whose COMMIT is in doubt is not written twice: its mark in the ledger shows whether it was committed.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::{Finished, Pages, Recorder, WAITS};
use crate::health::breaker::Failing;
use crate::ledger::written::Mark;
use crate::ledger::{Ledger, LedgerError, Page};
use crate::runtime::backoff::Backoff;
use crate::runtime::crash_point;

/// While a transaction takes longer than this, all calls wait. Far above a slow transaction of a working server, and
/// far below the timeout, during which a worker would otherwise keep spending calls.
const SLOW: Duration = Duration::from_secs(2);

/// Maximum timeout for a page that cannot be halved; each timeout doubles it.
const TIMEOUT_MAX: Duration = Duration::from_mins(1);

/// Why a page was not written as a whole. Print it with `Display`: the `Debug` of a database error contains the row.
#[derive(Debug, thiserror::Error)]
enum WriteFault {
    /// One of its rows is at fault.
    #[error(transparent)]
    Row(LedgerError),
    /// It was not committed before the timeout.
    #[error("the write timed out")]
    TooSlow,
}

impl Recorder {
    /// Writes outcomes until they are known to be committed; returns those whose messages can be deleted.
    ///
    /// The messages of the others are not released: they become visible again when their visibility timeout expires. If
    /// they were released, a job whose outcome cannot be written would spend one call after another.
    pub(super) async fn commit(&self, outcomes: Vec<Finished>, pages: &mut Pages) -> Vec<Finished> {
        let began = Instant::now();
        let mut committed = Vec::with_capacity(outcomes.len());
        let mut parts = vec![outcomes];
        while let Some(mut part) = parts.pop() {
            match self.write_part(&part, pages).await {
                Ok(()) => committed.append(&mut part),
                Err(_) if part.len() > 1 => {
                    // The first half is written first: of two outcomes of one key, the later one must win.
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(WriteFault::Row(fault)) if self.write_alone(&part, &fault, pages).await => {
                    committed.append(&mut part);
                }
                Err(fault) => error!(%fault, "an outcome cannot be recorded at all; its message stays in the queue"),
            }
        }
        crash_point::reached("committed");
        self.metrics.record_flush_duration.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a page has at most a few hundred rows")]
        self.metrics.record_flush_rows.observe(committed.len() as f64);
        for finished in &committed {
            self.report(finished);
        }
        committed
    }

    async fn write_part(&self, part: &[Finished], pages: &mut Pages) -> Result<(), WriteFault> {
        let (began, n_bytes) = (Instant::now(), part.iter().map(|finished| finished.delivery.n_bytes).sum());
        let page = Page { mark: Some(pages.next_mark()), ..page_of(part) };
        let written = self.write(&page, part.len() > 1).await;
        pages.note_write(part.len(), n_bytes, began.elapsed());
        written
    }

    /// Writes a page and retries until it is committed, a row is at fault, or the page should be halved.
    async fn write(&self, page: &Page, can_be_halved: bool) -> Result<(), WriteFault> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failing = None;
        let mut ledger = self.ledger.clone();
        while let Err(error) = self.record(&ledger, page, &mut failing).await {
            self.metrics.db_error(&error);
            if error.is_caused_by_a_row() {
                return Err(WriteFault::Row(error));
            }
            failing.get_or_insert_with(|| self.board.postgres.failing(&error.to_string()));
            if error.is_conflict() {
                backoff.reset();
            }
            warn!(%error, rows = page.rows.len(), "cannot write outcomes, retrying");
            if matches!(error, LedgerError::Timeout(_)) {
                match page.mark {
                    Some(mark) if can_be_halved => {
                        return if self.is_written(mark).await { Ok(()) } else { Err(WriteFault::TooSlow) };
                    }
                    _ => ledger = ledger.with_timeout((ledger.timeout() * 2).min(TIMEOUT_MAX.max(ledger.timeout()))),
                }
            }
            backoff.wait().await;
        }
        Ok(())
    }

    /// Asks the ledger, until it answers, whether a page was committed after all.
    async fn is_written(&self, mark: Mark) -> bool {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match self.ledger.is_written(mark).await {
                Ok(is_written) => return is_written,
                Err(error) => {
                    self.metrics.db_error(&error);
                    warn!(%error, "cannot find out whether outcomes were written, retrying");
                }
            }
            backoff.wait().await;
        }
    }

    /// Tries to write a page once. While this is slow, the ledger counts as failing: no permit is taken for an outcome
    /// that could not be recorded.
    async fn record(&self, ledger: &Ledger, page: &Page, failing: &mut Option<Failing>) -> Result<(), LedgerError> {
        let mut recorded = std::pin::pin!(ledger.record(page));
        if let Ok(recorded) = tokio::time::timeout(SLOW, &mut recorded).await {
            return recorded;
        }
        failing.get_or_insert_with(|| self.board.postgres.failing("writing outcomes is slow"));
        recorded.await
    }

    /// Writes one outcome without the values that may be at fault, leaving out more with each attempt until only the
    /// outcome itself is left; returns whether an attempt succeeded.
    async fn write_alone(&self, one: &[Finished], fault: &LedgerError, pages: &mut Pages) -> bool {
        let Some(sqlstate) = fault.sqlstate() else { return false };
        error!(%fault, "an outcome cannot be recorded as it is; leaving out texts that nothing depends on");
        let mut page = Page { mark: Some(pages.next_mark()), ..page_of(one) };
        page.blank_texts(&format!("unstorable: {sqlstate}"));
        for leave_out in [Page::drop_requests, Page::drop_optional_values] {
            if self.write(&page, false).await.is_ok() {
                return true;
            }
            leave_out(&mut page);
        }
        self.write(&page, false).await.is_ok()
    }
}

fn page_of(outcomes: &[Finished]) -> Page {
    let mut page = Page::default();
    for finished in outcomes {
        finished.write_to(&mut page);
    }
    page
}
