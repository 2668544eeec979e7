//! Writes how jobs ended and then deletes their messages: commit first, delete after.
//!
//! Ends are collected by size or by time and written in one transaction, tried again until it is known to be through.
//! Deleting happens beside the next transaction. Only this file deletes messages.

mod entry;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::crash_point;
use crate::metrics::{Metrics, delivery, ok_or_error};
use crate::queue::{CALL_MAX, Queue};
use crate::slots::{Delivery, Stage};
use crate::store::{Page, Store};

pub use entry::{Finish, Finished, NoJob};

/// Most ends of one transaction: past that, more rows no longer make it faster.
const PAGE_MAX: usize = 200;

/// Longest that an end waits for others.
const PAGE_TIME: Duration = Duration::from_millis(100);

/// Longest first wait and longest wait before a transaction or a delete is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often a delete is tried: a message that stays comes back and ends as known.
const DELETE_ATTEMPTS: u32 = 4;

/// Writes ends and deletes messages.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The ledger.
    pub store: Store,
    /// The queue that the messages came from.
    pub queue: Queue,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

impl Recorder {
    /// Works until every sender of ends is gone and everything is written and deleted.
    pub async fn run(self, mut ends: mpsc::Receiver<Finished>) {
        let acks = TaskTracker::new();
        while let Some(page) = next_page(&mut ends).await {
            let recorder = self.clone();
            let (ended, released): (Vec<_>, Vec<_>) = page.into_iter().partition(Finished::is_ended);
            if !ended.is_empty() {
                self.commit(&ended).await;
            }
            acks.spawn(async move {
                recorder.delete(ended).await;
                recorder.give_back(released).await;
            });
        }
        acks.close();
        acks.wait().await;
    }

    /// Writes a page, again and again until it is known to be through.
    async fn commit(&self, ended: &[Finished]) {
        let mut page = Page::default();
        for finished in ended {
            finished.write_to(&mut page, self.queue.url());
        }
        let began = Instant::now();
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        while let Err(error) = self.store.record(page.clone()).await {
            self.metrics.db_error(&error);
            warn!(%error, rows = ended.len(), "cannot write ends, trying again");
            backoff.wait().await;
        }
        crash_point::reached("committed");
        self.metrics.record_flush_duration.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a page has at most a few hundred rows")]
        self.metrics.record_flush_rows.observe(ended.len() as f64);
        for finished in ended {
            self.count(finished);
        }
    }

    /// Counts a committed end.
    fn count(&self, finished: &Finished) {
        match &finished.finish {
            Finish::Ended { outcome, .. } => self.metrics.finished(outcome.code),
            Finish::Quarantined(reason) => self.metrics.quarantined(reason.error.code()),
            Finish::Released => return,
        }
        self.metrics.stage(Stage::Recording, finished.since.elapsed());
        let now = time::OffsetDateTime::now_utc();
        let age = (now - finished.delivery.sent_at).as_seconds_f64();
        self.metrics.job_age.with_label_values(&[delivery(finished.delivery.is_redelivery)]).observe(age);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float's 52 bits")]
        self.metrics.last_progress.set(now.unix_timestamp() as f64);
    }

    /// Deletes the messages of committed ends, ten a call, each entry looked at.
    async fn delete(&self, ended: Vec<Finished>) {
        let deliveries: Vec<Delivery> = ended.into_iter().map(|finished| finished.delivery).collect();
        let mut calls = tokio::task::JoinSet::new();
        let mut deliveries = deliveries.into_iter().peekable();
        while deliveries.peek().is_some() {
            let ten: Vec<Delivery> = deliveries.by_ref().take(CALL_MAX).collect();
            let recorder = self.clone();
            calls.spawn(async move { recorder.delete_ten(ten).await });
        }
        calls.join_all().await;
    }

    async fn delete_ten(&self, mut left: Vec<Delivery>) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        for attempt in 1..=DELETE_ATTEMPTS {
            if attempt > 1 {
                backoff.wait().await;
            }
            let receipts: Vec<String> = left.iter().map(|delivery| delivery.receipt.clone()).collect();
            let answer = self.queue.delete(&receipts).await;
            crash_point::reached("deleted_ten");
            self.metrics.sqs_request("DeleteMessageBatch", &answer);
            match answer {
                Ok(results) => {
                    for result in &results {
                        self.metrics.sqs_delete_entries.with_label_values(&[ok_or_error(result)]).inc();
                    }
                    let mut results = results.into_iter();
                    // Dropping a delivery frees its slot.
                    left.retain(|_| matches!(results.next(), Some(Err(error)) if !error.is_senders_fault));
                }
                Err(error) => warn!(%error, attempt, "cannot delete messages"),
            }
            if left.is_empty() {
                return;
            }
        }
        warn!(messages = left.len(), "messages stay in the queue; they will come back and end as known");
    }

    /// Makes messages visible at once, so that another worker takes them.
    async fn give_back(&self, released: Vec<Finished>) {
        for ten in released.chunks(CALL_MAX) {
            let receipts: Vec<String> = ten.iter().map(|finished| finished.delivery.receipt.clone()).collect();
            let answer = self.queue.hide(&receipts, Duration::ZERO).await;
            self.metrics.sqs_request("ChangeMessageVisibilityBatch", &answer);
            let n_kept = match &answer {
                Ok(results) => results.iter().filter(|result| result.is_err()).count(),
                Err(_) => ten.len(),
            };
            if n_kept > 0 {
                warn!(messages = n_kept, "cannot give messages back; they come back when their visibility ends");
            }
        }
        if !released.is_empty() {
            info!(messages = released.len(), "gave messages back");
        }
    }
}

/// Collects ends: what there is at once, then what comes until the page is full or the time is over. Nothing: all
/// senders are gone.
async fn next_page(ends: &mut mpsc::Receiver<Finished>) -> Option<Vec<Finished>> {
    let mut page = vec![ends.recv().await?];
    let until = Instant::now() + PAGE_TIME;
    while page.len() < PAGE_MAX {
        let room = PAGE_MAX - page.len();
        match tokio::time::timeout_at(until, ends.recv_many(&mut page, room)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Some(page)
}
