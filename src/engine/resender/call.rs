//! Turns parked jobs into messages, packed into `SendMessageBatch` calls.

use tracing::error;

use crate::aws::queue::{CALL_BYTES_MAX, OutgoingMessage, pack};
use crate::ledger::waiting::WaitingJob;
use muster_core::job::{Job, NameError, Request};

/// The content of one call to SQS: each message and, at the same index, its job.
#[derive(Debug, Default)]
pub(super) struct SendCall {
    pub(super) jobs: Vec<WaitingJob>,
    pub(super) messages: Vec<OutgoingMessage>,
}

/// Why a job from the ledger cannot be sent. Its texts never repeat a value of the request.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("this version of Muster does not know the operation")]
    Operation(#[from] strum::ParseError),
    #[error("its request is not valid JSON for the operation, see column {}", .0.column())]
    Request(#[from] serde_json::Error),
    #[error("its message has {0} bytes, but SQS accepts at most {CALL_BYTES_MAX}")]
    TooLarge(usize),
}

/// Packs jobs into as few calls as SQS allows; returns the calls, and the jobs that cannot be sent at all.
pub(super) fn calls(jobs: Vec<WaitingJob>) -> (Vec<SendCall>, Vec<WaitingJob>) {
    let (mut sendable, mut unsendable) = (vec![], vec![]);
    for job in jobs {
        match message(&job) {
            Ok(message) => sendable.push((job, message)),
            Err(error) => {
                error!(%error, batch = job.batch, subject = hex::encode(job.subject), "a parked job cannot be sent");
                unsendable.push(job);
            }
        }
    }
    let calls = pack(sendable, |(_, message)| message).into_iter().map(SendCall::from);
    (calls.collect(), unsendable)
}

impl From<Vec<(WaitingJob, OutgoingMessage)>> for SendCall {
    fn from(entries: Vec<(WaitingJob, OutgoingMessage)>) -> Self {
        let (jobs, messages) = entries.into_iter().unzip();
        Self { jobs, messages }
    }
}

fn message(waiting: &WaitingJob) -> Result<OutgoingMessage, Unsendable> {
    let job = job(waiting)?;
    let message = OutgoingMessage { body: job.to_body(), group: waiting.source.clone() };
    let n_bytes = message.n_bytes();
    if n_bytes > CALL_BYTES_MAX { Err(Unsendable::TooLarge(n_bytes)) } else { Ok(message) }
}

fn job(waiting: &WaitingJob) -> Result<Job, Unsendable> {
    Ok(Job {
        batch: waiting.batch.parse()?,
        batch_size: None,
        source: waiting.source.as_ref().map(|source| source.parse()).transpose()?,
        reference: waiting.reference.as_ref().map(|reference| reference.parse()).transpose()?,
        target: waiting.target.parse()?,
        verify: waiting.verify,
        request: Request::read(waiting.operation.parse()?, &waiting.request)?,
    })
}
