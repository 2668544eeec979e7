//! `muster quarantine list`: the quarantined messages, with keyset pagination.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::choice::reasons;
use crate::cli::format::{grouped, printable, rfc3339};
use crate::cli::stdout;
use crate::cli::talk::talk;
use crate::ledger::Ledger;
use crate::ledger::quarantine::{QuarantineEntry, QuarantineFilter};

/// Lists the quarantined messages, without their bodies.
#[derive(Args, Debug)]
pub(super) struct ListQuarantined {
    /// Only messages quarantined for this reason.
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
    /// Maximum number of messages to list.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Continues after this position, as printed by the previous page.
    #[arg(long, value_name = "POSITION")]
    after: Option<QuarantineCursor>,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

/// A position in the list: a queue's URL and a `MessageId`, separated by a slash.
#[derive(Clone, Debug)]
struct QuarantineCursor {
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

impl ListQuarantined {
    /// Reads one page.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let chosen = QuarantineFilter { ids: None, reason: self.reason.as_deref() };
        let after = self.after.as_ref().map(|cursor| (cursor.queue.as_str(), cursor.message_id.as_str()));
        let found = ledger.quarantine_entries(chosen, after, self.limit).await?;
        let is_full = found.len() as u64 == u64::from(self.limit);
        let next = found.last().filter(|_| is_full).map(|last| format!("{}/{}", last.queue, last.message_id));
        let page = QuarantinePage { messages: found.into_iter().map(QuarantinedMessage::of).collect(), next };
        if self.json {
            stdout::print_json(&page)?;
            return Ok(ExitCode::SUCCESS);
        }
        if page.messages.is_empty() {
            stdout::print("the quarantine is empty\n")?;
        }
        for entry in &page.messages {
            stdout::print(entry)?;
        }
        if let Some(next) = &page.next {
            talk(&format!("hint: there may be more: --after {}", printable(next)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Serialize)]
struct QuarantinePage {
    messages: Vec<QuarantinedMessage>,
    /// The `--after` value of the next page. Null: there is none.
    next: Option<String>,
}

/// A quarantined message.
#[derive(Debug, Serialize)]
pub(super) struct QuarantinedMessage {
    message_id: String,
    queue: String,
    reason: String,
    detail: String,
    bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    sent_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    quarantined_at: OffsetDateTime,
}

impl QuarantinedMessage {
    pub(super) fn of(message: QuarantineEntry) -> Self {
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
