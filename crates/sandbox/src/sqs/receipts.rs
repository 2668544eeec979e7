//! Operations on receipt handles: delete the message, or change how long it stays hidden.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::limits::VISIBILITY_MAX;
use super::message::{Instants, Receipt};
use super::queue::{SandboxQueue, VisibilityRefusal};
use super::{Addressed, Batch, BatchAnswer, BatchEntry, Sqs, error, limits, read};
use crate::answer::{AwsError, Reply, to_json};
use crate::fault::{Strike, Twist};

/// A receipt handle, alone or as a batch entry.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handle {
    #[serde(default)]
    id: String,
    #[serde(rename = "ReceiptHandle")]
    text: String,
    visibility_timeout: Option<i64>,
}

/// A batch entry that succeeded.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: String,
}

impl Sqs {
    pub(super) fn delete(&self, body: &[u8], strike: &Strike) -> Reply {
        self.one(body, |queue, entry| delete(queue, entry, strike))
    }

    pub(super) fn delete_batch(&self, body: &[u8], strike: &Strike) -> Reply {
        self.batch(body, strike, |queue, entry| delete(queue, entry, strike))
    }

    pub(super) fn change_visibility(&self, body: &[u8]) -> Reply {
        self.one(body, change_visibility)
    }

    pub(super) fn change_visibility_batch(&self, body: &[u8], strike: &Strike) -> Reply {
        self.batch(body, strike, change_visibility)
    }

    fn one(&self, body: &[u8], act: impl Fn(&mut SandboxQueue, &Handle) -> Result<(), AwsError>) -> Reply {
        let Addressed { queue_url } = read(body)?;
        let handle: Handle = read(body)?;
        act(self.queues().at(&queue_url)?, &handle)?;
        Ok(json!({}).to_string())
    }

    fn batch(
        &self,
        body: &[u8],
        strike: &Strike,
        act: impl Fn(&mut SandboxQueue, &Handle) -> Result<(), AwsError>,
    ) -> Reply {
        let Batch { queue_url, entries }: Batch<Handle> = read(body)?;
        let mut queues = self.queues();
        let queue = queues.at(&queue_url)?;
        limits::check_entries(&entries)?;
        let run = |handle: Handle| act(queue, &handle).map(|()| Done { id: handle.id });
        Ok(to_json(&BatchAnswer::of(entries, strike, run)))
    }
}

impl BatchEntry for Handle {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Returns the queue URL and the receipt handles of a call, whether for one message or a batch.
pub(super) fn handles(body: &[u8]) -> Result<(String, Vec<String>), AwsError> {
    if let Ok(Batch { queue_url, entries }) = read::<Batch<Handle>>(body) {
        return Ok((queue_url, entries.into_iter().map(|handle| handle.text).collect()));
    }
    let Addressed { queue_url } = read(body)?;
    let handle: Handle = read(body)?;
    Ok((queue_url, vec![handle.text]))
}

fn delete(queue: &mut SandboxQueue, handle: &Handle, strike: &Strike) -> Result<(), AwsError> {
    let receipt = receipt(queue, handle)?;
    if strike.twist != Some(Twist::StaleHandles) {
        queue.delete(receipt);
    }
    Ok(())
}

fn change_visibility(queue: &mut SandboxQueue, handle: &Handle) -> Result<(), AwsError> {
    let seconds = handle.visibility_timeout.ok_or_else(|| error::missing_parameter("VisibilityTimeout"))?;
    let timeout = limits::seconds("VisibilityTimeout", seconds, VISIBILITY_MAX)?;
    let refusal = |refusal| match refusal {
        VisibilityRefusal::NotInFlight => error::not_in_flight(),
        VisibilityRefusal::Stale => error::invalid_parameter(format!(
            "Value {} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for \
             visibility timeout change.",
            handle.text
        )),
        VisibilityRefusal::TooLong => error::invalid_parameter(format!(
            "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the \
             message is beyond the limit [{VISIBILITY_MAX} seconds]."
        )),
    };
    queue.change_visibility(receipt(queue, handle)?, timeout, Instants::now()).map_err(refusal)
}

/// Decodes a handle, which must have been issued by this queue.
fn receipt(queue: &SandboxQueue, handle: &Handle) -> Result<Receipt, AwsError> {
    let receipt = Receipt::read(&handle.text).filter(|receipt| receipt.queue == queue.serial);
    receipt.ok_or_else(|| error::invalid_receipt(&handle.text))
}
