//! Keeps what is held of one queue hidden from other workers, from the receive to the ack.
//!
//! Visibility is extended at half the queue's own time-out, in tens. SQS allows twelve hours from the receive on: a
//! message that is held for eleven is let go and comes back. So does one whose receipt SQS no longer takes; its job
//! goes on, and a second copy of it is harmless.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::aws::queue::{CALL_MAX, Queue};
use crate::engine::slots::{Due, Slots};
use crate::telemetry::metrics::{Metrics, ok_or_error};

/// Longest that a message is kept hidden: an hour below what SQS allows.
pub const HELD_MAX: Duration = Duration::from_hours(11);

/// Longest that SQS lets a message be hidden after its receive; an extension past it is refused.
const HIDDEN_MAX: Duration = Duration::from_hours(12);

/// How often is looked for what is due, as a part of the queue's visibility time-out: fine enough that an extension
/// that fails is tried again several times before the message shows.
const LOOKS: u32 = 10;

/// Extensions under way at a time: one that hangs must not hold up all others.
const CALLS_MAX: usize = 8;

/// Extends the visibility of what is held.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The queue of the messages.
    pub queue: Queue,
    /// What is held.
    pub slots: Slots,
    /// The queue's visibility time-out.
    pub visibility: Duration,
    /// Longest that a message is kept hidden.
    pub held_max: Duration,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

impl Heartbeat {
    /// Beats for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(self.visibility / LOOKS);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let held_max = self.held_max.min(HIDDEN_MAX.saturating_sub(self.visibility));
        loop {
            looks.tick().await;
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
        // Given up so early that there is time for another try; it may have gone through, which does no harm.
        let answer = tokio::time::timeout(self.visibility / 5, self.queue.hide(&receipts, self.visibility)).await;
        let Ok(answer) = answer else {
            self.metrics.sqs_request("ChangeMessageVisibilityBatch", &answer);
            return warn!("SQS does not answer whether messages stay hidden");
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
                    warn!(%error, "a message is no longer ours; it may come a second time");
                    due.lost();
                }
                Err(error) => debug!(%error, "cannot extend the visibility of a message"),
            }
        }
    }
}
