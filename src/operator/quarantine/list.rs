//! The list of quarantined messages, with keyset pagination.

use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::quarantine::{QuarantineEntry, QuarantineFilter};
use crate::ledger::{Ledger, LedgerError};
use muster_core::format::{grouped, printable, rfc3339};

/// A position in the list: a queue's URL and a `MessageId`, separated by a slash.
#[derive(Clone, Debug)]
pub struct QuarantineCursor {
    queue: String,
    message_id: String,
}

impl std::str::FromStr for QuarantineCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (queue, message_id) = text.rsplit_once('/').ok_or("expected QUEUE_URL/MESSAGE_ID")?;
        Ok(Self { queue: queue.to_owned(), message_id: message_id.to_owned() })
    }
}

impl QuarantinePage {
    /// Reads one page of the messages that were quarantined for a reason, or of all.
    pub async fn read(
        ledger: &Ledger,
        reason: Option<&str>,
        after: Option<&QuarantineCursor>,
        limit: u32,
    ) -> Result<Self, LedgerError> {
        let chosen = QuarantineFilter { reason, ..QuarantineFilter::default() };
        let after = after.map(|cursor| (cursor.queue.as_str(), cursor.message_id.as_str()));
        let found = ledger.quarantine_entries(chosen, after, limit).await?;
        let is_full = found.len() as u64 == u64::from(limit);
        let next = found.last().filter(|_| is_full).map(|last| format!("{}/{}", last.queue, last.message_id));
        Ok(Self { messages: found.into_iter().map(QuarantinedMessage::of).collect(), next })
    }
}

/// A page of the quarantine.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinePage {
    /// The messages.
    pub messages: Vec<QuarantinedMessage>,
    /// The `after` value of the next page. Null: there is none.
    pub next: Option<String>,
}

/// A quarantined message.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedMessage {
    /// SQS id of the message.
    pub message_id: String,
    /// URL of the queue that delivered it.
    pub queue: String,
    /// Why it is not a job, from a closed set; `dropped` for a dead letter.
    pub reason: String,
    /// The reason for people.
    pub detail: String,
    /// Size of its body.
    pub bytes: u64,
    /// When it was sent to the queue.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    /// When it was quarantined.
    #[serde(with = "time::serde::rfc3339")]
    pub quarantined_at: OffsetDateTime,
}

impl QuarantinedMessage {
    /// Creates it from an entry of the ledger.
    pub fn of(message: QuarantineEntry) -> Self {
        Self {
            message_id: message.message_id,
            queue: message.queue,
            reason: message.reason,
            detail: message.detail,
            bytes: message.n_bytes,
            sent_at: message.sent_at.truncate_to_second(),
            quarantined_at: message.recorded_at.truncate_to_second(),
        }
    }
}

impl fmt::Display for QuarantinedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.message_id))?;
        writeln!(f, "    {}: {}", printable(&self.reason), printable(&self.detail))?;
        writeln!(f, "    sent {}, quarantined {}", rfc3339(self.sent_at), rfc3339(self.quarantined_at))?;
        writeln!(f, "    {} bytes from {}", grouped(self.bytes), printable(&self.queue))
    }
}
