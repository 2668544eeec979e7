//! Asks SQS for work: only as much as free slots and the rate allow, ten at a time, with a long poll.
//!
//! A receive under way is always awaited, also at the end: its messages would otherwise stay hidden until their
//! visibility ends, and would have burnt a delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::crash_point;
use crate::job::{Job, ParseError};
use crate::metrics::{Metrics, delivery};
use crate::queue::{CALL_MAX, Message, Queue};
use crate::recorder::{Finish, Finished, NoJob};
use crate::slots::{Delivery, Slot, Slots};
use crate::worker::Worker;

/// Longest first wait and longest wait after a receive that failed.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Receives messages and hands their jobs to the worker.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where messages come from.
    pub queue: Queue,
    /// The room for them.
    pub slots: Slots,
    /// Who does their jobs.
    pub worker: Worker,
    /// Where bodies go that are no job.
    pub recorder: mpsc::Sender<Finished>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Ends the receiving.
    pub stop: CancellationToken,
    /// How long an empty queue is waited on.
    pub wait: Duration,
    /// Stops everything once the queue is empty and nothing is held.
    pub until_empty: bool,
}

impl Receiver {
    /// Receives until it is stopped.
    pub async fn run(self) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            // Taken before receiving: a message that waits for a slot would burn its visibility time-out.
            let slots = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                slots = self.slots.take(CALL_MAX) => slots,
            };
            let received = self.queue.receive(slots.len(), self.wait).await;
            self.metrics.sqs_request("ReceiveMessage", &received);
            match received {
                Ok(messages) => {
                    backoff.reset();
                    let is_empty = messages.is_empty();
                    self.take(slots, messages).await;
                    if is_empty && self.until_empty {
                        self.stop_if_drained().await;
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot receive messages");
                    drop(slots);
                    tokio::select! {
                        () = backoff.wait() => {}
                        () = self.stop.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Puts the messages into their slots and hands them on.
    async fn take(&self, slots: Vec<Slot>, messages: Vec<Message>) {
        let mut jobs = Vec::with_capacity(messages.len());
        for (slot, message) in slots.into_iter().zip(messages) {
            let (delivery, body) = slot.hold(message);
            self.count(&delivery);
            crash_point::reached("received");
            match self.parse(&body) {
                Ok(job) => jobs.push((delivery, job)),
                Err(error) => self.quarantine(delivery, NoJob { error, body }).await,
            }
        }
        if !jobs.is_empty() {
            self.worker.take(jobs);
        }
    }

    fn count(&self, received: &Delivery) {
        self.metrics.jobs_received.with_label_values(&[delivery(received.is_redelivery)]).inc();
    }

    fn parse(&self, body: &str) -> Result<Job, ParseError> {
        let job = Job::parse(body)?;
        if self.worker.serves(&job) { Ok(job) } else { Err(ParseError::UnknownTarget { target: job.target }) }
    }

    async fn quarantine(&self, delivery: Delivery, no_job: NoJob) {
        warn!(message_id = delivery.message_id, reason = no_job.error.code(), "a message is no job");
        let finish = Finish::Quarantined(Box::new(no_job));
        // The recorder is gone only after its deadline; then the message comes back by itself.
        let _ = self.recorder.send(Finished::new(delivery, finish)).await;
    }

    /// Stops where the queue holds nothing, not even for other workers.
    async fn stop_if_drained(&self) {
        if self.slots.held() > 0 {
            return;
        }
        let attributes = self.queue.attributes().await;
        self.metrics.sqs_request("GetQueueAttributes", &attributes);
        if attributes.is_ok_and(|attributes| attributes.messages() == 0) {
            info!("the queue is empty");
            self.stop.cancel();
        }
    }
}
