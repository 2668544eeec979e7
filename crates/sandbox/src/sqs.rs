//! SQS: the standard queues of one account and region.
//!
//! All queues are behind one lock, held only for as long as it takes to move a batch of messages. There are no FIFO
//! queues.

mod counts;
mod error;
mod limits;
mod message;
mod owner;
mod queue;
mod receipts;
mod receive;
mod send;
mod settings;
mod turns;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::header::HOST;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

pub use self::counts::{BatchCounts, QueueCounts};
use self::message::Instants;
use self::queue::SandboxQueue;
use self::watch::DeleteWatch;
pub use self::watch::Deleting;
use super::answer::{AwsError, Reply};
use super::fault::Strike;
use super::operation::ApiOperation;
use super::settings::SandboxSettings;

/// SQS.
pub(super) struct Sqs {
    account: String,
    region: String,
    /// Makes message ids distinct between two runs of a sandbox.
    salt: u64,
    queues: Mutex<Queues>,
    deletes: DeleteWatch,
}

/// The queues by name.
#[derive(Default)]
struct Queues {
    by_name: BTreeMap<String, SandboxQueue>,
    n_created: u32,
    n_messages: u64,
}

/// The part of a request that names its queue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Addressed {
    queue_url: String,
}

/// A batch call.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "E: Deserialize<'de>")]
struct Batch<E> {
    queue_url: String,
    entries: Vec<E>,
}

/// An entry of a batch call.
trait BatchEntry {
    /// The entry's id, distinct within its call.
    fn id(&self) -> &str;
}

/// The answer of a batch call, entry by entry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchAnswer<S> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<S>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedEntry>,
}

/// An entry of a batch call that failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailedEntry {
    id: String,
    sender_fault: bool,
    code: String,
    message: String,
}

impl Sqs {
    pub(super) fn new(settings: &SandboxSettings) -> Self {
        Self {
            account: settings.account.clone(),
            region: settings.region.clone(),
            salt: Instants::now().unix_ms,
            queues: Mutex::default(),
            deletes: DeleteWatch::default(),
        }
    }

    /// Answers one SQS operation.
    pub(super) async fn answer(&self, operation: ApiOperation, head: &Parts, body: &[u8], strike: &Strike) -> Reply {
        use ApiOperation as O;
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
        if matches!(operation, O::DeleteMessage | O::DeleteMessageBatch) {
            self.show_deletes(body).await;
        }
        match operation {
            O::ReceiveMessage => self.receive(body, strike).await,
            O::SendMessage => self.send(body, strike),
            O::SendMessageBatch => self.send_batch(body, strike),
            O::DeleteMessage => self.delete(body, strike),
            O::DeleteMessageBatch => self.delete_batch(body, strike),
            O::ChangeMessageVisibility => self.change_visibility(body),
            O::ChangeMessageVisibilityBatch => self.change_visibility_batch(body, strike),
            O::CreateQueue => self.create_queue(host, body),
            O::DeleteQueue => self.delete_queue(body),
            O::GetQueueUrl => self.queue_url(host, body),
            O::ListQueues => self.list_queues(host, body),
            O::GetQueueAttributes => self.queue_attributes(body),
            O::SetQueueAttributes => self.set_queue_attributes(body),
            O::PurgeQueue => self.purge_queue(body),
            _ => Err(AwsError::new(400, "UnknownOperationException", format!("SQS has no operation {operation}"))),
        }
    }

    /// Returns the exact counts of one queue.
    pub(super) fn counts(&self, name: &str) -> Option<QueueCounts> {
        let mut queues = self.queues();
        let queue = queues.by_name.get_mut(name)?;
        queue.wake(Instants::now());
        Some(queue.counts())
    }

    /// Returns the exact counts of every queue.
    pub(super) fn all_counts(&self) -> BTreeMap<String, QueueCounts> {
        let now = Instants::now();
        let mut queues = self.queues();
        let counts = queues.by_name.iter_mut().map(|(name, queue)| {
            queue.wake(now);
            (name.clone(), queue.counts())
        });
        counts.collect()
    }

    /// Returns the ids of deleted messages of one queue, in the order of their deletes.
    pub(super) fn deleted(&self, name: &str, skip: usize, limit: usize) -> Option<Vec<String>> {
        let queues = self.queues();
        let numbers = queues.by_name.get(name)?.deleted().iter().skip(skip).take(limit);
        Some(numbers.map(|&number| self.message_id(number)).collect())
    }

    /// Returns the id of a message: it looks like a UUID and is unique forever.
    fn message_id(&self, number: u64) -> String {
        let salt = self.salt;
        format!(
            "{:08x}-{:04x}-4{:03x}-8000-{:012x}",
            salt >> 28 & 0xffff_ffff,
            salt >> 12 & 0xffff,
            salt & 0xfff,
            number & 0xffff_ffff_ffff
        )
    }

    fn queue_arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Returns the queue of a URL, by its last segment only: a client may know the sandbox under another host name.
    fn at(&mut self, url: &str) -> Result<&mut SandboxQueue, AwsError> {
        self.by_name.get_mut(name_in(url)).ok_or_else(error::no_queue)
    }
}

impl FailedEntry {
    fn new(id: String, error: AwsError) -> Self {
        let (sender_fault, code) = (error.is_sender_fault(), error.query_code().to_owned());
        Self { id, sender_fault, code, message: error.message }
    }
}

impl<S> BatchAnswer<S> {
    /// Runs each entry separately and sorts the results; a fault may fail or omit the first ones.
    fn of<E: BatchEntry>(entries: Vec<E>, strike: &Strike, mut run: impl FnMut(E) -> Result<S, AwsError>) -> Self {
        let mut answer = Self { successful: Vec::new(), failed: Vec::new() };
        for (index, entry) in entries.into_iter().enumerate() {
            let id = entry.id().to_owned();
            if let Some(executed) = strike.omits_entry(index) {
                let _ = executed.then(|| run(entry));
                continue;
            }
            match strike.failure_of_entry(index).map_or_else(|| run(entry), Err) {
                Ok(success) => answer.successful.push(success),
                Err(error) => answer.failed.push(FailedEntry::new(id, error)),
            }
        }
        answer
    }
}

/// Returns the queue name in a URL.
fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// Parses a request body.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|e| error::unreadable(&e))
}
