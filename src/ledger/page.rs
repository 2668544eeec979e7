//! What one transaction writes: how jobs ended, and what else their messages told.

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

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Tells it from every other page; none where it is written once only.
    pub mark: Option<Mark>,
    /// How jobs ended.
    pub rows: Vec<Row>,
    /// The batch sizes that their messages announced.
    pub announced: BTreeMap<String, Option<u64>>,
    /// What workers found that is to be held.
    pub openings: Vec<(HoldKey, Opening)>,
    /// The CAs that are in now.
    pub authorities: Vec<Authority>,
    /// Messages that were no job.
    pub quarantined: Vec<Quarantined>,
}

/// A message whose body is no job.
#[derive(Clone)]
pub struct Quarantined {
    /// URL of the queue that delivered it.
    pub queue: String,
    /// `MessageId` at SQS.
    pub message_id: String,
    /// Why it is no job, from a closed set.
    pub reason: &'static str,
    /// The reason for people.
    pub detail: String,
    /// The body, with private keys blanked.
    pub body: String,
    /// When it was sent to the queue.
    pub sent_at: OffsetDateTime,
}

/// Prints no body: what lines send never reaches a log.
impl fmt::Debug for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Quarantined");
        shown.field("message_id", &self.message_id).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Page {
    // Postgres may refuse a value. These leave values out, step by step, until the outcome alone is left: the key, status,
    // code, certificate id, times and counts. What is left out is free: no rule and no count depends on it.

    /// Replaces every text for people that came from outside with a word.
    pub fn blank_texts(&mut self, word: &str) {
        for row in &mut self.rows {
            row.end.detail = Some(word.to_owned());
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

    /// Drops the requests of what has an outcome. A parked job keeps its own: without it, it could never be resent.
    pub fn drop_requests(&mut self) {
        for row in &mut self.rows {
            if row.end.status() != Status::Parked {
                row.end.request = None;
            }
        }
    }

    /// Drops every other value that is free: names, serial numbers, copies of certificates, the calls' details, batch sizes.
    ///
    /// A quarantined body stays. It is all there is of its message: where it cannot be recorded, the message stays in the
    /// queue with it.
    pub fn drop_what_is_free(&mut self) {
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
