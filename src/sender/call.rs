//! Parked jobs as messages, packed into calls of SQS.

use tracing::error;

use crate::enqueue::send::CALL_BYTES_MAX;
use crate::job::{Job, NameError, Request};
use crate::queue::{CALL_MAX, Outgoing};
use crate::store::waiting::WaitingJob;

/// What goes into one call of SQS: each message beside its job.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) jobs: Vec<WaitingJob>,
    pub(super) messages: Vec<Outgoing>,
}

/// Why a job of the ledger cannot be sent; no text of it repeats a value of the request.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("this version does not know the operation")]
    Operation(#[from] strum::ParseError),
    #[error("its request does not read as one, see column {}", .0.column())]
    Request(#[from] serde_json::Error),
    #[error("its message has {0} bytes, SQS takes {CALL_BYTES_MAX}")]
    TooLarge(usize),
}

/// Packs jobs into as few calls as SQS allows, and tells which cannot be sent at all.
pub(super) fn calls(jobs: Vec<WaitingJob>) -> (Vec<Call>, Vec<WaitingJob>) {
    let (mut calls, mut unsendable): (Vec<Call>, _) = (vec![], vec![]);
    for job in jobs {
        match message(&job) {
            Ok(message) => {
                if calls.last().is_none_or(|call| !call.has_room_for(&message)) {
                    calls.push(Call::default());
                }
                let call = calls.last_mut().expect("one was pushed");
                call.jobs.push(job);
                call.messages.push(message);
            }
            Err(error) => {
                error!(%error, batch = job.batch, subject = hex::encode(job.subject), "a parked job cannot be sent");
                unsendable.push(job);
            }
        }
    }
    (calls, unsendable)
}

impl Call {
    fn has_room_for(&self, message: &Outgoing) -> bool {
        let n_bytes: usize = self.messages.iter().map(n_bytes).sum();
        self.messages.len() < CALL_MAX && n_bytes + self::n_bytes(message) <= CALL_BYTES_MAX
    }
}

/// What SQS may count: it does not say whether the group's name is part of the size.
fn n_bytes(message: &Outgoing) -> usize {
    message.body.len() + message.group.as_ref().map_or(0, String::len)
}

fn message(waiting: &WaitingJob) -> Result<Outgoing, Unsendable> {
    let job = job(waiting)?;
    let message = Outgoing { body: job.to_body(), group: waiting.source.clone() };
    let n_bytes = n_bytes(&message);
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
