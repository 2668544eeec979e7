//! Commits outcomes to the ledger and then deletes their messages, never the other way round.
//!
//! Group commit: outcomes are collected by number, bytes or time (`pages`) and written in one transaction (`page`),
//! which is retried until it is known to be committed. Messages are deleted while the next transaction runs. A worker
//! deletes messages nowhere else.

mod entry;
mod page;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::aws::queue::{EntryResult, Queue, QueueError, into_calls};
use crate::engine::slots::Delivery;
use crate::health::board::Board;
use crate::ledger::Ledger;
use crate::runtime::backoff::Backoff;
use crate::runtime::crash_point;
use crate::telemetry::metrics::Stage;
use crate::telemetry::metrics::{Metrics, delivery, ok_or_error};

use pages::Pages;

pub use entry::{Finish, Finished, NotAJob};

/// Upper bounds of the first and of any later wait before a transaction or an ack is retried (exponential backoff with
/// full jitter).
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Attempts after which a delete or a release is given up once the process is stopping. While it runs, there is no
/// limit: a message that becomes visible again uses up a delivery each time.
const ACK_ATTEMPTS: u32 = 4;

/// Commits outcomes and deletes messages.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The ledger.
    pub ledger: Ledger,
    /// The board. The recorder reports to it whether the ledger accepts outcomes, and which holds were opened.
    pub board: Board,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

impl Recorder {
    /// Runs until all senders of `incoming` are dropped and everything is committed and deleted.
    pub async fn run(self, mut incoming: mpsc::Receiver<Finished>) {
        let (acks, draining) = (TaskTracker::new(), CancellationToken::new());
        let mut pages = Pages::default();
        if let Err(error) = self.ledger.forget_writers().await {
            warn!(%error, "cannot delete old page writers");
        }
        while let Some(page) = pages.next_page(&mut incoming).await {
            let (recorder, draining) = (self.clone(), draining.clone());
            let (to_record, released): (Vec<_>, Vec<_>) = page.into_iter().partition(Finished::needs_recording);
            let committed = if to_record.is_empty() { to_record } else { self.commit(to_record, &mut pages).await };
            acks.spawn(async move {
                tokio::join!(
                    recorder.ack(Ack::Delete, committed, &draining),
                    // Not after the deletes, which may be retried for a long time.
                    recorder.ack(Ack::Release, released, &draining),
                );
            });
        }
        draining.cancel();
        acks.close();
        acks.wait().await;
    }

    /// Updates metrics and holds after a delivery was committed.
    fn report(&self, finished: &Finished) {
        match &finished.finish {
            Finish::Outcome { outcome, .. } => {
                self.metrics.finished(outcome.code);
                if let Some(parking) = &outcome.parking {
                    self.board.holds.recorded(parking);
                }
            }
            Finish::Quarantined(reason) => self.metrics.quarantined(reason.error.code()),
            Finish::Released => return,
        }
        self.metrics.stage(Stage::Recording, finished.since.elapsed());
        let now = time::OffsetDateTime::now_utc();
        // The clocks of SQS and of this machine may differ.
        let age = (now - finished.delivery.sent_at).as_seconds_f64().max(0.0);
        self.metrics.job_age.with_label_values(&[delivery(finished.delivery.is_redelivery)]).observe(age);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float's 52 bits")]
        self.metrics.last_progress.with_label_values(&[""; 0]).set(now.unix_timestamp() as f64);
    }

    /// Deletes or releases messages, ten of one queue per call; checks the result of each entry.
    async fn ack(&self, ack: Ack, finished: Vec<Finished>, draining: &CancellationToken) {
        let deliveries = finished.into_iter().map(|finished| finished.delivery);
        let mut calls = tokio::task::JoinSet::new();
        for (queue, ten) in into_calls(deliveries, |delivery| &delivery.queue) {
            let (recorder, draining) = (self.clone(), draining.clone());
            calls.spawn(async move { recorder.ack_ten(ack, &queue, ten, draining).await });
        }
        calls.join_all().await;
    }

    /// Acks up to ten messages and retries without limit; once `draining` is cancelled, gives up after
    /// [`ACK_ATTEMPTS`].
    async fn ack_ten(&self, ack: Ack, queue: &Queue, mut left: Vec<Delivery>, draining: CancellationToken) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        for attempt in 1_u32.. {
            if ack == Ack::Release {
                for delivery in &left {
                    delivery.slot.until_extension_done().await;
                }
            }
            let receipts: Vec<String> = left.iter().map(|delivery| delivery.receipt.clone()).collect();
            let answer = ack.call(queue, &receipts).await;
            if ack == Ack::Delete {
                crash_point::reached("deleted_ten");
            }
            self.metrics.sqs_request(ack.operation(), &answer);
            match answer {
                Ok(results) => {
                    self.count_entries(ack, &results);
                    let mut results = results.into_iter();
                    // Dropping a delivery frees its slot.
                    left.retain(|_| matches!(results.next(), Some(Err(error)) if !error.is_final()));
                }
                Err(error) => warn!(%error, attempt, "cannot {ack} messages"),
            }
            if left.is_empty() {
                return;
            }
            if attempt >= ACK_ATTEMPTS && draining.is_cancelled() {
                return warn!(
                    messages = left.len(),
                    "could not {ack} messages; they reappear when their visibility timeout expires"
                );
            }
            backoff.wait().await;
        }
    }

    fn count_entries(&self, ack: Ack, results: &[EntryResult]) {
        match ack {
            Ack::Delete => {
                for result in results {
                    self.metrics.sqs_delete_entries.with_label_values(&[ok_or_error(result)]).inc();
                }
            }
            Ack::Release => {
                let n_released = results.iter().filter(|result| result.is_ok()).count();
                info!(messages = n_released, "released messages");
            }
        }
    }
}

/// What is done with a message that this worker is finished with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, strum::Display)]
#[strum(serialize_all = "lowercase")]
enum Ack {
    /// Deleted: its outcome is committed.
    Delete,
    /// Released: made visible at once, for another worker.
    Release,
}

impl Ack {
    fn operation(self) -> &'static str {
        match self {
            Self::Delete => "DeleteMessageBatch",
            Self::Release => "ChangeMessageVisibilityBatch",
        }
    }

    async fn call(self, queue: &Queue, receipts: &[String]) -> Result<Vec<EntryResult>, QueueError> {
        match self {
            Self::Delete => queue.delete(receipts).await,
            Self::Release => queue.hide(receipts, Duration::ZERO).await,
        }
    }
}
