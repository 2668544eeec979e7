//! `muster dead list`: the messages in the dead-letter queues.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::queues::{DeadQueue, DeadQueues, Of};
use super::reading::DeadReading;
use crate::aws::queue::{CALL_MAX, ReceivedMessage};
use crate::cli::format::{grouped, printable, rfc3339};
use crate::cli::{exit, signals, stdout};
use crate::config::Config;
use crate::operator::redrive::Redrive;
use muster_core::certificate::CertificateId;
use muster_core::job::{Job, Name, Operation, ParseError};

/// Visibility timeout of listed messages: how long they stay hidden if they cannot be released.
const HIDDEN: Duration = Duration::from_secs(30);

/// Lists the messages in the dead-letter queues, without their bodies.
///
/// Messages are received and then released as soon as the list is complete, or on Ctrl-C. This counts as a delivery,
/// which has no effect on a dead-letter queue without a redrive policy of its own.
#[derive(Args, Debug)]
pub(super) struct ListDead {
    /// Reads only the dead-letter queue of this job queue [default: both].
    #[arg(long, value_name = "QUEUE")]
    queue: Option<Of>,
    /// Maximum number of messages to list.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl ListDead {
    /// Receives, lists and releases the messages.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let queues = DeadQueues::open(config, self.queue).await?;
        let redrive = Redrive::new(config, queues.resend_queue.clone());
        let mut letters = Vec::new();
        for dead in &queues.dead {
            let mut reading = DeadReading::new(dead.queue.clone(), HIDDEN, stop.clone());
            let read = self.read(&mut reading, dead, &redrive, &mut letters).await;
            reading.give_back().await;
            read?;
        }
        if self.json {
            stdout::print_json(&letters)?;
        } else {
            for letter in &letters {
                stdout::print(letter)?;
            }
            for dead in &queues.dead {
                stdout::print(format_args!("{}\n", summary(dead, &letters)))?;
            }
        }
        Ok(if stop.is_cancelled() { exit::INTERRUPTED.into() } else { ExitCode::SUCCESS })
    }

    async fn read(
        &self,
        reading: &mut DeadReading,
        dead: &DeadQueue,
        redrive: &Redrive,
        letters: &mut Vec<ListedLetter>,
    ) -> anyhow::Result<()> {
        loop {
            let messages = reading.next(CALL_MAX.min(self.limit.saturating_sub(letters.len()))).await?;
            if messages.is_empty() {
                return Ok(());
            }
            letters.extend(messages.iter().map(|message| ListedLetter::of(dead.name(), message, redrive)));
        }
    }
}

fn summary(dead: &DeadQueue, letters: &[ListedLetter]) -> String {
    let n = letters.iter().filter(|letter| letter.queue == dead.name()).count() as u64;
    let there = dead.attributes.messages().max(n);
    match there {
        0 => format!("{}: empty", dead.name()),
        _ if n == there => format!("{}: {} in total", dead.name(), grouped(n)),
        _ => format!("{}: {} shown of about {}", dead.name(), grouped(n), grouped(there)),
    }
}

/// A message of a dead-letter queue.
#[derive(Debug, Serialize)]
struct ListedLetter {
    queue: String,
    message_id: String,
    #[serde(with = "time::serde::rfc3339")]
    sent_at: OffsetDateTime,
    receive_count: u32,
    /// Null: not a job.
    job: Option<LetterJob>,
    /// Why it is not a job.
    no_job: Option<NotAJobReason>,
}

/// The fields of a job that help an operator.
#[derive(Debug, Serialize)]
struct LetterJob {
    operation: Operation,
    batch: Name,
    target: Name,
    #[serde(rename = "ref")]
    reference: Option<Name>,
    source: Option<Name>,
    /// Null: no certificate can be read.
    certificate_id: Option<CertificateId>,
}

#[derive(Debug, Serialize)]
struct NotAJobReason {
    reason: &'static str,
    detail: String,
}

impl ListedLetter {
    fn of(queue: &str, message: &ReceivedMessage, redrive: &Redrive) -> Self {
        let (job, no_job) = match redrive.read(&message.body) {
            Ok(job) => (Some(LetterJob::of(job)), None),
            Err(error) => (None, Some(NotAJobReason::of(&error))),
        };
        Self {
            queue: queue.to_owned(),
            message_id: message.id.clone(),
            sent_at: message.sent_at.truncate_to_second(),
            receive_count: message.receive_count,
            job,
            no_job,
        }
    }
}

impl LetterJob {
    fn of(job: Job) -> Self {
        Self {
            operation: job.operation(),
            certificate_id: job.request.certificate().map(|certificate| certificate.id()),
            batch: job.batch,
            target: job.target,
            reference: job.reference,
            source: job.source,
        }
    }
}

impl NotAJobReason {
    fn of(error: &ParseError) -> Self {
        Self { reason: error.code(), detail: error.to_string() }
    }
}

impl fmt::Display for ListedLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, sent_at) = (printable(&self.message_id), rfc3339(self.sent_at));
        let times = if self.receive_count == 1 { "once".to_owned() } else { format!("{} times", self.receive_count) };
        writeln!(f, "{id}")?;
        writeln!(f, "    sent {sent_at}, received {times}")?;
        if let Some(no_job) = &self.no_job {
            writeln!(f, "    not a job, {}: {}", no_job.reason, printable(&no_job.detail))?;
        }
        self.job.iter().try_for_each(|job| job.fmt(f))
    }
}

impl fmt::Display for LetterJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {} in batch {} for target {}", self.operation, self.batch, self.target)?;
        if let Some(reference) = &self.reference {
            write!(f, ", ref {reference}")?;
        }
        if let Some(source) = &self.source {
            write!(f, ", from {source}")?;
        }
        match self.certificate_id {
            Some(id) => writeln!(f, "\n    certificate {id}"),
            None => writeln!(f, "\n    no certificate can be read"),
        }
    }
}
