//! Reads a dead-letter queue: receives each message once, keeps it hidden, and releases it at the end.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::aws::queue::{CALL_MAX, Queue, QueueError, ReceivedMessage};
use muster_core::format::span;

/// How long a receive waits. A long poll asks all SQS servers, so an empty answer means that no messages are left.
const WAIT: Duration = Duration::from_secs(1);

/// A queue that is being read.
#[derive(Debug)]
pub(super) struct DeadReading {
    queue: Queue,
    hidden: Duration,
    stop: CancellationToken,
    /// Every message received so far, with its receipt until the message is deleted.
    receipts: HashMap<String, Option<String>>,
}

impl DeadReading {
    /// Starts to read a queue; each message is hidden for the given duration. Reading ends when `stop` is cancelled.
    pub(super) fn new(queue: Queue, hidden: Duration, stop: CancellationToken) -> Self {
        Self { queue, hidden, stop, receipts: HashMap::new() }
    }

    /// Receives up to `max` new messages. An empty result means that there are no more, or that reading was stopped.
    pub(super) async fn next(&mut self, max: usize) -> Result<Vec<ReceivedMessage>, QueueError> {
        if max == 0 || self.stop.is_cancelled() {
            return Ok(vec![]);
        }
        let received = self.queue.receive_hidden(max, WAIT, self.hidden).await?;
        let is_new = |message: &ReceivedMessage| {
            self.receipts.insert(message.id.clone(), Some(message.receipt.clone())).is_none()
        };
        Ok(received.into_iter().filter(is_new).collect())
    }

    /// Deletes messages and returns how many SQS did not delete.
    pub(super) async fn delete(&mut self, messages: &[&ReceivedMessage]) -> Result<u64, QueueError> {
        let mut n_left = 0;
        for ten in messages.chunks(CALL_MAX) {
            let receipts: Vec<_> = ten.iter().map(|message| message.receipt.clone()).collect();
            for (message, result) in ten.iter().zip(self.queue.delete(&receipts).await?) {
                match result {
                    Ok(()) => _ = self.receipts.insert(message.id.clone(), None),
                    Err(error) => {
                        warn!(%error, message_id = message.id, "SQS did not delete a dead letter");
                        n_left += 1;
                    }
                }
            }
        }
        Ok(n_left)
    }

    /// Releases the messages still held. If that fails, they become visible when their visibility timeout ends.
    pub(super) async fn release(self) {
        let receipts: Vec<String> = self.receipts.into_values().flatten().collect();
        for ten in receipts.chunks(CALL_MAX) {
            let failed = match self.queue.hide(ten, Duration::ZERO).await {
                Ok(results) => results.into_iter().find_map(Result::err).map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = failed {
                warn!(
                    error,
                    "cannot make dead letters visible again at once: they become visible within {}",
                    span(self.hidden)
                );
            }
        }
    }
}
