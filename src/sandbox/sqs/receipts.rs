//! What a receiver does with a receipt: delete the message, or change how long it stays hidden.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::message::{Moment, Receipt};
use super::queue::{Queue, VisibilityRefusal};
use super::receive::VISIBILITY_MAX;
use super::{Addressed, Batch, BatchAnswer, Sqs, error, limits, read};
use crate::sandbox::answer::{Answer, AwsError, Success};

/// A receipt handle, alone or as an entry of a batch.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default)]
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

/// The entry of a batch that went through.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: String,
}

impl Sqs {
    pub(super) fn delete(&self, body: &[u8]) -> Answer {
        self.one(body, delete)
    }

    pub(super) fn delete_batch(&self, body: &[u8]) -> Answer {
        self.batch(body, delete)
    }

    pub(super) fn change_visibility(&self, body: &[u8]) -> Answer {
        self.one(body, change_visibility)
    }

    pub(super) fn change_visibility_batch(&self, body: &[u8]) -> Answer {
        self.batch(body, change_visibility)
    }

    fn one(&self, body: &[u8], act: impl Fn(&mut Queue, &Entry) -> Result<(), AwsError>) -> Answer {
        let Addressed { queue_url } = read(body)?;
        let entry: Entry = read(body)?;
        act(self.queues().at(&queue_url)?, &entry)?;
        Ok(Success::json(&json!({})))
    }

    fn batch(&self, body: &[u8], act: impl Fn(&mut Queue, &Entry) -> Result<(), AwsError>) -> Answer {
        let Batch { queue_url, entries }: Batch<Entry> = read(body)?;
        let mut queues = self.queues();
        let queue = queues.at(&queue_url)?;
        limits::check_entries(entries.iter().map(|entry| entry.id.as_str()))?;
        let run = |entry: Entry| act(queue, &entry).map(|()| Done { id: entry.id });
        Ok(Success::json(&BatchAnswer::of(entries, |entry| entry.id.clone(), run)))
    }
}

fn delete(queue: &mut Queue, entry: &Entry) -> Result<(), AwsError> {
    queue.delete(receipt(queue, entry)?);
    Ok(())
}

fn change_visibility(queue: &mut Queue, entry: &Entry) -> Result<(), AwsError> {
    let seconds = entry.visibility_timeout.ok_or_else(|| error::missing_parameter("VisibilityTimeout"))?;
    let timeout = limits::seconds("VisibilityTimeout", seconds, VISIBILITY_MAX)?;
    let refusal = |refusal| match refusal {
        VisibilityRefusal::NotInFlight => error::not_in_flight(),
        VisibilityRefusal::Stale => error::invalid_parameter(format!(
            "Value {} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for \
             visibility timeout change.",
            entry.receipt_handle
        )),
        VisibilityRefusal::TooLong => error::invalid_parameter(format!(
            "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message \
             is beyond the limit [{VISIBILITY_MAX} seconds]."
        )),
    };
    queue.change_visibility(receipt(queue, entry)?, timeout, Moment::now()).map_err(refusal)
}

/// Reads a handle, which must be of this queue.
fn receipt(queue: &Queue, entry: &Entry) -> Result<Receipt, AwsError> {
    let receipt = Receipt::read(&entry.receipt_handle).filter(|receipt| receipt.queue == queue.serial);
    receipt.ok_or_else(|| error::invalid_receipt(&entry.receipt_handle))
}
