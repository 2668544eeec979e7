//! Keeps what is held hidden from other workers, from the receive to the ack.
//!
//! Visibility is extended at half the queue's own time-out, in tens. SQS allows twelve hours from the receive on: a
//! message that is held for eleven is let go and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::metrics::{Metrics, ok_or_error};
use crate::queue::{CALL_MAX, Queue};
use crate::slots::{Due, Slots};

/// Longest that a message is kept hidden: an hour below what SQS allows.
const HELD_MAX: Duration = Duration::from_hours(11);

/// How often is looked for what is due, as a part of the queue's visibility time-out: fine enough that an extension
/// that fails is tried again several times before the message shows.
const LOOKS: u32 = 10;

/// Extends the visibility of what is held.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The queue of the messages.
    pub queue: Queue,
    /// What is held.
    pub slots: Slots,
    /// The queue's visibility time-out.
    pub visibility: Duration,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

impl Heartbeat {
    /// Beats for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(self.visibility / LOOKS);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let due = self.slots.due(self.visibility / 2, HELD_MAX);
            for ten in due.chunks(CALL_MAX) {
                self.extend(ten).await;
            }
        }
    }

    async fn extend(&self, ten: &[Due]) {
        let receipts: Vec<String> = ten.iter().map(|due| due.receipt.clone()).collect();
        let asked_at = Instant::now();
        let answer = self.queue.hide(&receipts, self.visibility).await;
        self.metrics.sqs_request("ChangeMessageVisibilityBatch", &answer);
        let results = match answer {
            Ok(results) => results,
            Err(error) => return warn!(%error, "cannot extend the visibility of messages"),
        };
        for result in &results {
            self.metrics.sqs_visibility_extensions.with_label_values(&[ok_or_error(result)]).inc();
            if let Err(error) = result {
                debug!(%error, "a message is no longer ours; it may come a second time");
            }
        }
        let extended = ten.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.slots.hidden(&extended.map(|(due, _)| due.id).collect::<Vec<_>>(), asked_at);
    }
}
