//! One SQS queue. The only part that uses `aws_sdk_sqs`.
//!
//! Batch calls answer for each entry separately. Invariant: an entry is done only if the answer says so. An entry that
//! the answer does not mention may or may not be done, and counts as failed. The caller decides what to do about a
//! failure.

mod answer;
mod attributes;
mod error;
mod packing;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::time::Instant;
use tracing::warn;

use crate::aws::identity::{self, IdentityError};
use crate::aws::sdk_error;

pub use answer::not_mentioned;
pub use attributes::QueueAttributes;
pub use error::{
    CREDENTIALS_LATE, EntryError, EntryResult, KMS_HINT, NO_CREDENTIALS, QueueError, QueueErrorKind, UNKNOWN,
};
pub use packing::{CALL_BYTES_MAX, CallSize, pack};

/// Maximum entries in one SQS batch call.
pub const CALL_MAX: usize = 10;

/// Maximum time for a call, not counting its long poll.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The last second of the year 9999.
const LAST_INSTANT: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// The error code if there was no answer.
const UNREACHABLE: &str = "unreachable";

/// The names of FIFO queues, and no others, end with this.
const FIFO: &str = ".fifo";

/// An existing queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: Arc<str>,
}

/// One delivery of a message.
#[derive(Clone)]
pub struct ReceivedMessage {
    /// The queue it was received from. Its receipt is valid only there.
    pub queue: Queue,
    /// The `MessageId` of SQS.
    pub id: String,
    /// The body.
    pub body: String,
    /// The receipt handle, which deletes this delivery or changes its visibility.
    pub receipt: String,
    /// How often the message has been delivered, including this time.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
    /// When this delivery was requested. Its visibility timeout started no earlier.
    pub asked_at: Instant,
}

/// Omits the body: what producers send never appears in a log.
impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessage").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A message to send.
#[derive(Clone)]
pub struct OutgoingMessage {
    /// The body.
    pub body: String,
    /// The message group: the tenant in SQS fair queues.
    pub group: Option<String>,
}

/// Omits the body.
impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage").field("bytes", &self.body.len()).field("group", &self.group).finish()
    }
}

impl Queue {
    /// Finds a queue by its name or URL.
    ///
    /// # Errors
    /// [`QueueError`] if it does not exist, access is denied, or it is a FIFO queue.
    pub async fn open(config: &SdkConfig, name_or_url: &str) -> Result<Self, QueueError> {
        if name_or_url.ends_with(FIFO) {
            return Err(QueueError::fifo(name_or_url));
        }
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build();
        let client = Client::from_conf(aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts).build());
        if name_or_url.contains("://") {
            return Ok(Self { client, url: name_or_url.into() });
        }
        let answer = client.get_queue_url().queue_name(name_or_url).send().await;
        let url = answer::url("GetQueueUrl", answer.map_err(|e| error("GetQueueUrl", &e))?.queue_url)?;
        Ok(Self { client, url: url.into() })
    }

    /// Returns the queue's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads the attributes of the queue and how full it is. SQS's counts are approximate.
    pub async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        let call = self.client.get_queue_attributes().queue_url(&*self.url).attribute_names(QueueAttributeName::All);
        let answer = call.send().await.map_err(|e| error("GetQueueAttributes", &e))?;
        QueueAttributes::read(&answer.attributes.unwrap_or_default())
            .map_err(|missing| QueueError::incomplete("GetQueueAttributes", missing))
    }

    /// Finds this queue's dead-letter queue by its ARN.
    ///
    /// # Errors
    /// [`QueueError`] if it does not exist or access is denied.
    pub async fn dead_letter_queue(&self, arn: &str) -> Result<Self, QueueError> {
        // arn:aws:sqs:REGION:ACCOUNT:NAME. It is in the same account and region as the queue.
        let mut parts = arn.rsplit(':');
        let call = self.client.get_queue_url().set_queue_name(parts.next().map(str::to_owned));
        let answer = call.set_queue_owner_aws_account_id(parts.next().map(str::to_owned)).send().await;
        let url = answer::url("GetQueueUrl", answer.map_err(|e| error("GetQueueUrl", &e))?.queue_url)?;
        Ok(Self { client: self.client.clone(), url: url.into() })
    }

    /// Receives up to `max` messages, at most ten. Waits up to `wait` for the first one (long polling).
    pub async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<ReceivedMessage>, QueueError> {
        self.receive_for(max, wait, None).await
    }

    /// Receives messages with a visibility timeout of `hidden` instead of the queue's.
    pub async fn receive_hidden(
        &self,
        max: usize,
        wait: Duration,
        hidden: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        self.receive_for(max, wait, Some(hidden)).await
    }

    async fn receive_for(
        &self,
        max: usize,
        wait: Duration,
        hidden: Option<Duration>,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        let asked_at = Instant::now();
        let answer = self
            .client
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(i32::try_from(max.min(CALL_MAX)).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(0))
            .set_visibility_timeout(hidden.map(|hidden| i32::try_from(hidden.as_secs()).unwrap_or(i32::MAX)))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .customize()
            .config_override(once(wait + CALL_TIMEOUT))
            .send()
            .await
            .map_err(|e| error("ReceiveMessage", &e))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages.filter_map(|message| self.read(message, asked_at)).collect())
    }

    /// Deletes up to ten deliveries. Returns for each whether SQS deleted it.
    ///
    /// # Errors
    /// [`QueueError`] if the call as a whole failed.
    pub async fn delete(&self, receipts: &[String]) -> Result<Vec<EntryResult>, QueueError> {
        let entry = |(i, receipt): (usize, &String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(i.to_string()).receipt_handle(receipt);
            entry.build().expect("id and receipt are set")
        };
        let entries = receipts.iter().enumerate().map(entry).collect();
        let call = self.client.delete_message_batch().queue_url(&*self.url).set_entries(Some(entries));
        let call = call.customize().config_override(once(CALL_TIMEOUT));
        let answer = call.send().await.map_err(|e| error("DeleteMessageBatch", &e))?;
        let done = answer.successful.into_iter().map(|entry| (entry.id, Ok(())));
        answer::by_entry("DeleteMessageBatch", receipts.len(), done, answer.failed)
    }

    /// Sets the visibility timeout of up to ten deliveries, counted from now. Zero releases them at once.
    ///
    /// # Errors
    /// [`QueueError`] if the call as a whole failed.
    pub async fn hide(&self, receipts: &[String], time: Duration) -> Result<Vec<EntryResult>, QueueError> {
        let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let entry = |(i, receipt): (usize, &String)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(i.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(seconds)
                .build()
                .expect("id and receipt are set")
        };
        let entries = receipts.iter().enumerate().map(entry).collect();
        let call = self.client.change_message_visibility_batch().queue_url(&*self.url).set_entries(Some(entries));
        let call = call.customize().config_override(once(CALL_TIMEOUT));
        let answer = call.send().await.map_err(|e| error("ChangeMessageVisibilityBatch", &e))?;
        let done = answer.successful.into_iter().map(|entry| (entry.id, Ok(())));
        answer::by_entry("ChangeMessageVisibilityBatch", receipts.len(), done, answer.failed)
    }

    /// Sends up to ten messages of together at most 1 MiB. Returns for each whether SQS accepted it.
    ///
    /// # Errors
    /// [`QueueError`] if the call as a whole failed.
    pub async fn send(&self, messages: &[OutgoingMessage]) -> Result<Vec<EntryResult>, QueueError> {
        let entry = |(i, message): (usize, &OutgoingMessage)| {
            SendMessageBatchRequestEntry::builder()
                .id(i.to_string())
                .message_body(&message.body)
                .set_message_group_id(message.group.clone())
                .build()
                .expect("id and body are set")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let call = self.client.send_message_batch().queue_url(&*self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|e| error("SendMessageBatch", &e))?;
        let done = answer.successful.into_iter().map(|entry| {
            let body = answer::index_of(&entry.id).and_then(|i| messages.get(i)).map_or("", |message| &message.body);
            (entry.id, answer::check_md5(body, &entry.md5_of_message_body))
        });
        answer::by_entry("SendMessageBatch", messages.len(), done, answer.failed)
    }

    /// Reads a delivery. Returns `None` if it is incomplete: SQS delivers it again after its visibility timeout.
    fn read(&self, message: aws_sdk_sqs::types::Message, asked_at: Instant) -> Option<ReceivedMessage> {
        let attributes = message.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name).and_then(|text| text.parse::<i64>().ok());
        let body = message.body.zip(message.md5_of_body);
        let body = body.filter(|(body, md5)| answer::check_md5(body, md5).is_ok());
        let id_and_receipt = message.message_id.zip(message.receipt_handle);
        let Some((body, (id, receipt))) = body.map(|(body, _)| body).zip(id_and_receipt) else {
            warn!(
                queue = self.url(),
                "a message arrived incomplete; SQS delivers it again after its visibility timeout"
            );
            return None;
        };
        Some(ReceivedMessage {
            queue: self.clone(),
            id,
            body,
            receipt,
            receive_count: number(MessageSystemAttributeName::ApproximateReceiveCount)
                .and_then(|n| n.try_into().ok())
                .unwrap_or(1),
            sent_at: number(MessageSystemAttributeName::SentTimestamp)
                .and_then(instant)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            asked_at,
        })
    }
}

/// Converts an SQS timestamp, in milliseconds since 1970. Returns `None` outside the years 1970 to 9999, the range that
/// Postgres and printing can represent.
fn instant(ms: i64) -> Option<OffsetDateTime> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    (OffsetDateTime::UNIX_EPOCH..=LAST_INSTANT).contains(&at).then_some(at)
}

/// Splits the entries of several queues into calls of at most ten entries, all of the same queue.
pub fn into_calls<T>(entries: impl IntoIterator<Item = T>, queue_of: impl Fn(&T) -> &Queue) -> Vec<(Queue, Vec<T>)> {
    let mut calls: Vec<(Queue, Vec<T>)> = Vec::new();
    let mut last_of: HashMap<Arc<str>, usize> = HashMap::new();
    for entry in entries {
        let queue = queue_of(&entry);
        let last = last_of.get(&queue.url).filter(|&&call| calls[call].1.len() < CALL_MAX);
        let call = last.copied().unwrap_or_else(|| {
            last_of.insert(Arc::clone(&queue.url), calls.len());
            calls.push((queue.clone(), Vec::new()));
            calls.len() - 1
        });
        calls[call].1.push(entry);
    }
    calls
}

/// Creates a queue and its dead-letter queue, for the demo and for a first try. An operator's own queues come from
/// templates.
pub async fn create(config: &SdkConfig, name: &str, settings: &QueueAttributes) -> Result<Queue, QueueError> {
    let client = Client::new(config);
    let dead = client.create_queue().queue_name(format!("{name}-dead")).send().await;
    let dead_url = answer::url("CreateQueue", dead.map_err(|e| error("CreateQueue", &e))?.queue_url)?;
    let call = client.get_queue_attributes().queue_url(dead_url).attribute_names(QueueAttributeName::QueueArn);
    let answer = call.send().await.map_err(|e| error("GetQueueAttributes", &e))?;
    let arn = answer.attributes.unwrap_or_default().remove(&QueueAttributeName::QueueArn);
    let arn = arn.ok_or_else(|| QueueError::incomplete("GetQueueAttributes", "QueueArn"))?;
    let policy = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": settings.max_receive_count });
    let call = client
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::VisibilityTimeout, settings.visibility_timeout.as_secs().to_string())
        .attributes(QueueAttributeName::MessageRetentionPeriod, settings.retention.as_secs().to_string())
        .attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
    let url = answer::url("CreateQueue", call.send().await.map_err(|e| error("CreateQueue", &e))?.queue_url)?;
    Queue::open(config, &url).await
}

/// Disables the SDK's retries: callers that receive, delete or hide messages retry themselves and know how long to
/// wait.
fn once(timeout: Duration) -> aws_sdk_sqs::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout).build();
    aws_sdk_sqs::Config::builder().timeout_config(timeouts).retry_config(RetryConfig::disabled())
}

fn error<E>(operation: &'static str, failure: &SdkError<E, HttpResponse>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let Some((service, code)) = failure.as_service_error().and_then(|service| Some((service, service.code()?))) {
        let message = sdk_error::one_line(service.message().unwrap_or("no message"));
        return QueueError { operation, kind: QueueErrorKind::of(code), code: sdk_error::one_line(code), message };
    }
    if let Some(message) = sdk_error::not_from_aws(failure, None) {
        return QueueError { operation, kind: QueueErrorKind::Transient, code: "not from AWS".to_owned(), message };
    }
    let (kind, code, message) = match identity::without_credentials(failure) {
        Some(IdentityError::NoCredentials(text)) => (QueueErrorKind::Denied, NO_CREDENTIALS, text),
        Some(IdentityError::CredentialsLate(text)) => (QueueErrorKind::Transient, CREDENTIALS_LATE, text),
        Some(fault) if fault.is_denial() => (QueueErrorKind::Denied, NO_CREDENTIALS, fault.to_string()),
        Some(fault) => (QueueErrorKind::Transient, UNREACHABLE, fault.to_string()),
        None => (QueueErrorKind::Transient, UNREACHABLE, sdk_error::in_one_line(failure)),
    };
    QueueError { operation, kind, code: code.to_owned(), message }
}

#[cfg(test)]
impl Queue {
    /// Creates a queue that is never called.
    pub(crate) fn uncalled(url: &str) -> Self {
        let config = aws_sdk_sqs::Config::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
        Self { client: Client::from_conf(config), url: url.into() }
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};

    use super::*;

    #[test]
    fn calls_hold_at_most_ten_entries_of_one_queue() {
        let (main, replay) = (Queue::uncalled("main"), Queue::uncalled("replay"));
        let entries = (0..24).map(|i| (if i % 2 == 0 { &main } else { &replay }, i));
        let calls = into_calls(entries, |(queue, _)| queue);
        let sizes: Vec<_> = calls.iter().map(|(queue, entries)| (queue.url(), entries.len())).collect();
        assert_eq!(sizes, [("main", 10), ("replay", 10), ("main", 2), ("replay", 2)]);
        assert!(calls.iter().all(|(queue, entries)| entries.iter().all(|(own, _)| own.url() == queue.url())));
    }

    #[tokio::test]
    async fn a_fifo_queue_is_refused_before_a_call_is_made() {
        let config = SdkConfig::builder().build();
        for name in ["jobs.fifo", "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs.fifo"] {
            let error = Queue::open(&config, name).await.unwrap_err();
            assert_eq!(error.kind, QueueErrorKind::Fifo);
            assert!(error.to_string().ends_with(&format!("`{name}` is a FIFO queue; expected a standard queue")));
        }
    }

    #[test]
    fn an_incomplete_message_is_none() {
        let (body, md5) = ("a job", hex::encode(Md5::digest("a job")));
        let message = |body: Option<&str>, md5: Option<&str>| {
            let message = aws_sdk_sqs::types::Message::builder().message_id("id").receipt_handle("receipt");
            let message = message.set_body(body.map(str::to_owned)).set_md5_of_body(md5.map(str::to_owned)).build();
            Queue::uncalled("main").read(message, Instant::now())
        };
        assert_eq!(message(Some(body), Some(&md5)).unwrap().body, body);
        for (body, md5) in [(None, Some(md5.as_str())), (Some(body), None), (None, None), (Some("a jo"), Some(&md5))] {
            assert!(message(body, md5).is_none(), "{body:?} {md5:?}");
        }
    }

    #[test]
    fn a_timestamp_that_postgres_cannot_hold_is_none() {
        assert_eq!(instant(1_700_000_000_000), Some(datetime!(2023-11-14 22:13:20 UTC)));
        for ms in [i64::MIN, -300_000_000_000_000, -1, 253_402_300_800_000, i64::MAX] {
            assert_eq!(instant(ms), None, "{ms}");
        }
    }
}
