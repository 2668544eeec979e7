//! Lists the messages of the dead-letter queues.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::queues::{DeadQueue, DeadQueues};
use super::reading::DeadReading;
use crate::aws::queue::{CALL_MAX, ReceivedMessage};
use crate::config::Config;
use crate::operator::redrive::Redrive;
use muster_core::certificate::CertificateId;
use muster_core::format::{grouped, printable, rfc3339};
use muster_core::job::{Job, Name, Operation, ParseError};

/// Visibility timeout of listed messages: how long they stay hidden if they cannot be released.
const HIDDEN: Duration = Duration::from_secs(30);

/// Receives up to `limit` messages, and releases them again. Stops early when `stop` is cancelled.
///
/// # Errors
/// SQS denied or refused a call.
pub async fn list(
    config: &Config,
    queues: &DeadQueues,
    limit: usize,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<ListedLetter>> {
    let redrive = Redrive::new(config, queues.resend_queue.clone());
    let mut letters = Vec::new();
    for dead in &queues.dead {
        let mut reading = DeadReading::new(dead.queue.clone(), HIDDEN, stop.clone());
        let read = read(&mut reading, dead, &redrive, limit, &mut letters).await;
        reading.release().await;
        read?;
    }
    Ok(letters)
}

async fn read(
    reading: &mut DeadReading,
    dead: &DeadQueue,
    redrive: &Redrive,
    limit: usize,
    letters: &mut Vec<ListedLetter>,
) -> anyhow::Result<()> {
    loop {
        let messages = reading.next(CALL_MAX.min(limit.saturating_sub(letters.len()))).await?;
        if messages.is_empty() {
            return Ok(());
        }
        letters.extend(messages.iter().map(|message| ListedLetter::of(dead.name(), message, redrive)));
    }
}

/// Describes in one line how many messages a queue holds, and how many of them are listed.
pub fn summary(dead: &DeadQueue, letters: &[ListedLetter]) -> String {
    let n = letters.iter().filter(|letter| letter.queue == dead.name()).count() as u64;
    let n_there = dead.attributes.messages().max(n);
    match n_there {
        0 => format!("{}: empty", dead.name()),
        _ if n == n_there => format!("{}: {} in total", dead.name(), grouped(n)),
        _ => format!("{}: {} shown of about {}", dead.name(), grouped(n), grouped(n_there)),
    }
}

/// A message of a dead-letter queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedLetter {
    /// Name of the queue.
    pub queue: String,
    /// SQS id of the message.
    pub message_id: String,
    /// When it was sent.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// The job in it. Null: not a job.
    pub job: Option<LetterJob>,
    /// Why it is not a job. Null: it is one.
    pub no_job: Option<NotAJobReason>,
}

/// The fields of a job that help an operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct LetterJob {
    /// The AWS call.
    #[schema(value_type = String)]
    pub operation: Operation,
    /// Name of the batch.
    #[schema(value_type = String)]
    pub batch: Name,
    /// Name of the target.
    #[schema(value_type = String)]
    pub target: Name,
    /// The producer's name for the device.
    #[serde(rename = "ref")]
    #[schema(value_type = Option<String>)]
    pub reference: Option<Name>,
    /// Factory line that sent the job.
    #[schema(value_type = Option<String>)]
    pub source: Option<Name>,
    /// Id of the certificate. Null: no certificate can be read.
    #[schema(value_type = Option<String>)]
    pub certificate_id: Option<CertificateId>,
}

/// Why a message is not a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotAJobReason {
    /// The reason, from a closed set.
    pub reason: &'static str,
    /// The reason for people.
    pub detail: String,
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
