//! The second pass: sends what was planned, ten messages per call, several calls at a time.
//!
//! Checks the result of every entry. Entries on which SQS failed are resent a bounded number of times, with exponential
//! backoff; entries that SQS rejects as invalid are not. If a whole call fails on its last attempt, sending stops: the
//! rest is not sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{BatchOrder, Planned, Reject, RejectReason, Spool};
use crate::aws::queue::{
    CALL_MAX, CallSize, EntryError, OutgoingMessage, Queue, QueueError, QueueErrorKind, UNKNOWN, not_mentioned,
};
use crate::intake::manifest::FilePosition;
use crate::runtime::backoff::Backoff;

/// Most concurrent calls: enough to hide the latency of SQS, few enough for any network.
const CALLS_MAX: usize = 8;

/// Attempts to send a message before giving up: about ten seconds, in addition to the SDK's own retries.
const ATTEMPTS: u32 = 8;

/// Longest first wait and longest wait between attempts.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The second pass, in progress.
pub struct BatchSender {
    queue: Queue,
    order: Arc<BatchOrder>,
    batch_size: Option<u64>,
    planned: Box<dyn Iterator<Item = io::Result<Planned>> + Send>,
    /// The message that did not fit into the last call.
    left_over: Option<PlannedMessage>,
    is_over: bool,
    calls: JoinSet<CallResult>,
}

/// The result of one call with all its attempts.
#[derive(Default)]
pub struct CallResult {
    /// How many messages SQS accepted.
    pub n_sent: u64,
    /// The messages that SQS did not accept although the call itself succeeded.
    pub rejects: Vec<Reject>,
    /// Why the rest of this call was not sent. No further calls are made.
    pub error: Option<QueueError>,
}

/// A certificate and its message.
struct PlannedMessage {
    planned: Planned,
    outgoing: OutgoingMessage,
}

impl BatchSender {
    /// Prepares to send the planned certificates; their messages announce `batch_size` certificates.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn new(
        queue: Queue,
        order: Arc<BatchOrder>,
        spool: Spool<Planned>,
        batch_size: Option<u64>,
    ) -> io::Result<Self> {
        let planned = Box::new(spool.read()?);
        Ok(Self { queue, order, batch_size, planned, left_over: None, is_over: false, calls: JoinSet::new() })
    }

    /// Continues sending and returns the result of the next finished call; `None` once all are finished. After a stop,
    /// calls in progress finish and no more are started.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub async fn next_call(&mut self, stop: &CancellationToken) -> io::Result<Option<CallResult>> {
        while !self.is_over && !stop.is_cancelled() && self.calls.len() < CALLS_MAX {
            let messages = self.next_messages()?;
            if messages.is_empty() {
                self.is_over = true;
            } else {
                self.calls.spawn(send(self.queue.clone(), messages));
            }
        }
        let Some(called) = self.calls.join_next().await else { return Ok(None) };
        let called = called.map_err(io::Error::other)?;
        self.is_over |= called.error.is_some();
        Ok(Some(called))
    }

    /// Returns as many messages as fit into one call.
    fn next_messages(&mut self) -> io::Result<Vec<PlannedMessage>> {
        let mut messages = Vec::with_capacity(CALL_MAX);
        let mut size = CallSize::default();
        while let Some(message) = self.next_message()? {
            if !size.add(&message.outgoing) {
                self.left_over = Some(message);
                break;
            }
            messages.push(message);
        }
        Ok(messages)
    }

    fn next_message(&mut self) -> io::Result<Option<PlannedMessage>> {
        if let Some(message) = self.left_over.take() {
            return Ok(Some(message));
        }
        let Some(planned) = self.planned.next().transpose()? else { return Ok(None) };
        let body = self.order.job(&planned, self.batch_size).to_body();
        let group = self.order.source.as_ref().map(ToString::to_string);
        Ok(Some(PlannedMessage { planned, outgoing: OutgoingMessage { body, group } }))
    }
}

impl PlannedMessage {
    fn reject(self, reason: &RejectReason) -> Reject {
        let Planned { file, line, reference, certificate_pem, .. } = self.planned;
        Reject::new(&FilePosition { file: file.into(), line }, reference, Some(certificate_pem), reason)
    }
}

/// Sends the messages of one call until each is accepted, rejected or out of attempts.
async fn send(queue: Queue, mut messages: Vec<PlannedMessage>) -> CallResult {
    let mut called = CallResult::default();
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let n = messages.len();
    for attempt in 1.. {
        let outgoing: Vec<OutgoingMessage> = messages.iter().map(|message| message.outgoing.clone()).collect();
        let results = match queue.send(&outgoing).await {
            Ok(results) => results,
            // SQS answered for the other messages of this call, so the fault is with these messages, not with the
            // connection.
            Err(error) if error.code == UNKNOWN && messages.len() < n => vec![Err(not_mentioned()); messages.len()],
            Err(error) if error.kind == QueueErrorKind::Transient && attempt < ATTEMPTS => {
                backoff.wait().await;
                continue;
            }
            Err(error) => {
                called.error = Some(error);
                break;
            }
        };
        let failed = called.sort(messages, results);
        if attempt == ATTEMPTS {
            let give_up = |(message, cause): (PlannedMessage, _)| {
                message.reject(&RejectReason::NotSent { attempts: attempt, cause })
            };
            called.rejects.extend(failed.into_iter().map(give_up));
            break;
        }
        if failed.is_empty() {
            break;
        }
        messages = failed.into_iter().map(|(message, _)| message).collect();
        backoff.wait().await;
    }
    called
}

impl CallResult {
    /// Counts accepted messages, rejects invalid ones, and returns those that may be resent.
    fn sort(
        &mut self,
        messages: Vec<PlannedMessage>,
        results: Vec<Result<(), EntryError>>,
    ) -> Vec<(PlannedMessage, EntryError)> {
        let mut failed = Vec::new();
        for (message, result) in messages.into_iter().zip(results) {
            match result {
                Ok(()) => self.n_sent += 1,
                Err(error) if error.is_final() => {
                    self.rejects.push(message.reject(&RejectReason::RefusedByQueue(error)));
                }
                Err(error) => failed.push((message, error)),
            }
        }
        failed
    }
}
