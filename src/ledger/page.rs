//! What one transaction of the recorder writes: the outcomes of jobs, and what else follows from their messages.

mod outcome;

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;

use super::authority::Authority;
use super::row::{Names, Row};
use super::written::Mark;
use muster_core::hold::{HoldKey, Opening};
use muster_core::outcome::Status;

pub use outcome::MessageOrigin;

/// What one transaction of the recorder writes.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Idempotency key of the page. `None`: it is written only once.
    pub mark: Option<Mark>,
    /// The outcomes of jobs.
    pub rows: Vec<Row>,
    /// The batches of the jobs, each with its announced size.
    pub announced: BTreeMap<String, Option<u64>>,
    /// The holds that workers want to open.
    pub openings: Vec<(HoldKey, Opening)>,
    /// The CAs that are registered now.
    pub authorities: Vec<Authority>,
    /// Messages that are not jobs.
    pub quarantined: Vec<Quarantined>,
}

/// A message whose body is not a job.
#[derive(Clone)]
pub struct Quarantined {
    /// URL of the queue that delivered it.
    pub queue: String,
    /// `MessageId` at SQS.
    pub message_id: String,
    /// Why it is not a job, from a closed set.
    pub reason: &'static str,
    /// Human-readable reason.
    pub detail: String,
    /// The body, with private keys blanked.
    pub body: String,
    /// When it was sent to the queue.
    pub sent_at: OffsetDateTime,
}

/// Prints no body: what producers send never reaches a log.
impl fmt::Debug for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Quarantined");
        shown.field("message_id", &self.message_id).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Page {
    // Postgres may refuse a value. These methods drop values, step by step, until only the outcome is left: key,
    // status, code, certificate id, times and counts. No constraint and no count depends on the dropped values.

    /// Replaces every human-readable text that came from outside with `word`.
    pub fn blank_texts(&mut self, word: &str) {
        for row in &mut self.rows {
            row.outcome.detail = Some(word.to_owned());
            for attempt in &mut row.attempts {
                word.clone_into(&mut attempt.result);
                attempt.request_id = None;
            }
        }
        for (_, opening) in &mut self.openings {
            word.clone_into(&mut opening.reason);
        }
        for authority in &mut self.authorities {
            word.clone_into(&mut authority.subject);
        }
        for message in &mut self.quarantined {
            word.clone_into(&mut message.detail);
        }
    }

    /// Drops the requests of jobs that have an outcome. A parked job keeps its request: it could never be resent
    /// without it.
    pub fn drop_requests(&mut self) {
        for row in &mut self.rows {
            if row.outcome.status() != Status::Parked {
                row.outcome.request = None;
            }
        }
    }

    /// Drops every other optional value: names, serial numbers, copies of certificates, details of calls, batch sizes.
    ///
    /// A quarantined body stays: it is all that is left of its message. If it cannot be recorded, the message stays in
    /// the queue.
    pub fn drop_optional_values(&mut self) {
        for row in &mut self.rows {
            row.names = Names::default();
            row.other_names.clear();
            row.attempts.clear();
            (row.serial, row.certificate) = (None, None);
        }
        for announced in self.announced.values_mut() {
            *announced = None;
        }
        for authority in &mut self.authorities {
            authority.pem.clear();
        }
    }
}
