//! Keeps the held messages of one queue hidden from other workers, from the receive to the ack.
//!
//! Extends each message's visibility timeout once half of it has passed, ten messages a call. SQS allows at most twelve
//! hours from the receive: a message held for eleven is no longer extended and becomes visible again. So does one whose
//! receipt SQS no longer accepts. The job itself continues; a second delivery of it is harmless.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::aws::queue::{CALL_MAX, Queue};
use crate::engine::slots::{Due, Slots};
use crate::telemetry::metrics::{Metrics, ok_or_error};

/// Maximum time that a message is kept hidden: an hour less than SQS allows.
pub const HELD_MAX: Duration = Duration::from_hours(11);

/// Maximum time after its receive that SQS lets a message stay hidden; SQS rejects an extension beyond it.
const HIDDEN_MAX: Duration = Duration::from_hours(12);

/// Checks per visibility timeout for messages that are due: often enough that a failed extension is retried several
/// times before the message becomes visible.
const CHECKS: u32 = 10;

/// Maximum number of concurrent extension calls: one that hangs must not block all others.
const CALLS_MAX: usize = 8;

/// Extends the visibility of held messages.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The queue of the messages.
    pub queue: Queue,
    /// The held messages.
    pub slots: Slots,
    /// The queue's visibility timeout.
    pub visibility: Duration,
    /// Maximum time that a message is kept hidden.
    pub held_max: Duration,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

impl Heartbeat {
    /// Extends visibilities forever.
    pub async fn run(self) {
        let mut checks = tokio::time::interval(self.visibility / CHECKS);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let held_max = self.held_max.min(HIDDEN_MAX.saturating_sub(self.visibility));
        loop {
            checks.tick().await;
            let mut due = self.slots.due(&self.queue, self.visibility / 2, held_max);
            let mut calls = JoinSet::new();
            while !due.is_empty() {
                if calls.len() == CALLS_MAX {
                    calls.join_next().await;
                }
                let ten = due.split_off(due.len().saturating_sub(CALL_MAX));
                calls.spawn(self.clone().extend(ten));
            }
            calls.join_all().await;
        }
    }

    async fn extend(self, ten: Vec<Due>) {
        let receipts: Vec<String> = ten.iter().map(|due| due.receipt.clone()).collect();
        let asked_at = Instant::now();
        // Times out early enough to leave time for a retry; the call may have succeeded, which does no harm.
        let answer = tokio::time::timeout(self.visibility / 5, self.queue.hide(&receipts, self.visibility)).await;
        let Ok(answer) = answer else {
            self.metrics.sqs_request("ChangeMessageVisibilityBatch", &answer);
            return warn!("SQS did not answer in time whether messages stay hidden");
        };
        self.metrics.sqs_request("ChangeMessageVisibilityBatch", &answer);
        let results = match answer {
            Ok(results) => results,
            Err(error) => return warn!(%error, "cannot extend the visibility of messages"),
        };
        for (due, result) in ten.into_iter().zip(results) {
            self.metrics.sqs_visibility_extensions.with_label_values(&[ok_or_error(&result)]).inc();
            match result {
                Ok(()) => due.hidden(asked_at),
                Err(error) if error.is_final() => {
                    warn!(%error, "a message's receipt is no longer valid; the message may be delivered again");
                    due.lost();
                }
                Err(error) => debug!(%error, "cannot extend the visibility of a message"),
            }
        }
    }
}
