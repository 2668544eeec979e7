//! Receiving: a long poll that returns with the first message or at its deadline.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::message::{Instants, MessageAttributes, QueuedMessage, Receipt, attributes_md5};
use super::{Queues, Sqs, error, limits, name_in, read};
use crate::answer::{AwsError, Reply, to_json};
use crate::fault::{Strike, Twist};

/// Maximum number of messages in one receive.
const MESSAGES_MAX: i64 = 10;

/// Maximum wait of a long poll, in seconds.
const WAIT_MAX: u64 = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The deprecated name of the next field.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

/// A receive request whose numbers are within their limits.
struct ReceiveRequest {
    queue_url: String,
    n_max: usize,
    visibility: Option<Duration>,
    wait: Option<Duration>,
    system_attributes: Vec<String>,
    attributes: Vec<String>,
}

#[derive(Serialize)]
struct Messages {
    #[serde(rename = "Messages", skip_serializing_if = "Vec::is_empty")]
    messages: Vec<ReceiveEntry>,
}

/// A message as delivered to its receiver.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveEntry {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    body_md5: String,
    #[serde(serialize_with = "as_text")]
    body: Arc<str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<MessageAttributes>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_md5: Option<String>,
}

impl Sqs {
    pub(super) async fn receive(&self, body: &[u8], strike: &Strike) -> Reply {
        let request: ReceiveRequest = read::<ReceiveMessage>(body)?.try_into()?;
        let (arrival, deadline) = {
            let mut queues = self.queues();
            let queue = queues.at(&request.queue_url)?;
            let wait = request.wait.unwrap_or(Duration::from_secs(queue.settings.wait_s));
            (Arc::clone(&queue.arrival), Instant::now() + wait)
        };
        loop {
            // Registered before checking, so that no arrival in between is missed.
            let mut arrived = pin!(arrival.notified());
            arrived.as_mut().enable();
            let (messages, next_wake) = self.take(&request, strike)?;
            if !messages.is_empty() || Instant::now() >= deadline {
                return Ok(to_json(&Messages { messages }));
            }
            tokio::select! {
                () = arrived => {}
                () = sleep_until(next_wake.map_or(deadline, |wake| wake.min(deadline))) => {}
            }
        }
    }

    /// Takes the available messages; also returns when the next hidden message becomes visible.
    fn take(
        &self,
        request: &ReceiveRequest,
        strike: &Strike,
    ) -> Result<(Vec<ReceiveEntry>, Option<Instant>), AwsError> {
        let queues = &mut *self.queues();
        let now = Instants::now();
        let queue = queues.at(&request.queue_url)?;
        let visibility = request.visibility.unwrap_or(Duration::from_secs(queue.settings.visibility_s));
        let received = queue.receive(request.n_max, visibility, now);
        if strike.twist == Some(Twist::DeliverTwice) {
            queue.echo(&received.delivered);
        }
        let serial = queue.serial;
        let deliveries: Vec<_> = received
            .delivered
            .iter()
            .map(|&number| self.delivery(serial, queue.message(number), request, strike))
            .collect();
        let next_wake = queue.next_wake();
        self.move_to_dead_letter_queue(queues, &request.queue_url, received.dead, now);
        Ok((deliveries, next_wake))
    }

    /// Moves messages that used up their receives to the dead-letter queue; if it was deleted, they are lost, as with
    /// SQS.
    fn move_to_dead_letter_queue(&self, queues: &mut Queues, queue_url: &str, dead: Vec<QueuedMessage>, now: Instants) {
        let Ok(source) = queues.at(queue_url) else { return };
        let Some(target) = source.settings.dead_letter_queue().map(str::to_owned) else { return };
        let Some(target) = queues.by_name.get_mut(&target) else { return };
        let arn: Arc<str> = self.queue_arn(name_in(queue_url)).into();
        for mut message in dead {
            message.source_arn = Some(Arc::clone(&arn));
            target.admit(message, Duration::ZERO, now);
        }
    }

    fn delivery(&self, queue: u32, message: &QueuedMessage, request: &ReceiveRequest, strike: &Strike) -> ReceiveEntry {
        let attributes = message.content.attributes.as_deref().and_then(|all| request.selected(all));
        ReceiveEntry {
            message_id: self.message_id(message.number),
            receipt_handle: Receipt { queue, number: message.number, receives: message.receives }.handle(),
            body_md5: hex::encode(message.body_md5),
            body: if strike.corrupts_bodies {
                strike.body_in_transit(Cow::Borrowed(&message.content.body)).into()
            } else {
                Arc::clone(&message.content.body)
            },
            attributes: system_attributes(message, &request.system_attributes),
            attributes_md5: attributes.as_ref().map(attributes_md5),
            message_attributes: attributes,
        }
    }
}

impl TryFrom<ReceiveMessage> for ReceiveRequest {
    type Error = AwsError;

    fn try_from(request: ReceiveMessage) -> Result<Self, AwsError> {
        let n_max = request.max_number_of_messages.unwrap_or(1);
        if !(1..=MESSAGES_MAX).contains(&n_max) {
            return Err(error::out_of_range("MaxNumberOfMessages", n_max, 1, MESSAGES_MAX));
        }
        let seconds = |name, value: Option<i64>, max| value.map(|value| limits::seconds(name, value, max)).transpose();
        let mut system_attributes = request.message_system_attribute_names;
        system_attributes.extend(request.attribute_names);
        Ok(Self {
            n_max: usize::try_from(n_max).expect("it is between 1 and 10"),
            visibility: seconds("VisibilityTimeout", request.visibility_timeout, limits::VISIBILITY_MAX)?,
            wait: seconds("WaitTimeSeconds", request.wait_time_seconds, WAIT_MAX)?,
            queue_url: request.queue_url,
            system_attributes,
            attributes: request.message_attribute_names,
        })
    }
}

impl ReceiveRequest {
    /// Returns the message attributes that the receiver asked for: by name, by `prefix.*` or all.
    fn selected(&self, attributes: &MessageAttributes) -> Option<MessageAttributes> {
        let wanted = |name: &str| {
            self.attributes.iter().any(|pattern| match pattern.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == "All" || pattern == name,
            })
        };
        let selected: MessageAttributes = attributes
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (!selected.is_empty()).then_some(selected)
    }
}

/// Returns the system attributes that the receiver asked for and that the message has.
fn system_attributes(message: &QueuedMessage, wanted: &[String]) -> BTreeMap<&'static str, String> {
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let group = Some(&*message.content.group).filter(|group| !group.is_empty());
    let all = [
        ("SenderId", Some("AIDASANDBOX".to_owned())),
        ("SentTimestamp", Some(message.sent_ms.to_string())),
        ("ApproximateReceiveCount", Some(message.receives.to_string())),
        ("ApproximateFirstReceiveTimestamp", message.first_received_ms.map(|ms| ms.to_string())),
        ("MessageGroupId", group.map(str::to_owned)),
        ("AWSTraceHeader", message.content.trace.as_deref().map(str::to_owned)),
        ("DeadLetterQueueSourceArn", message.source_arn.as_deref().map(str::to_owned)),
    ];
    let is_wanted = |name: &str| wanted.iter().any(|requested| requested == "All" || requested == name);
    all.into_iter().filter(|(name, _)| is_wanted(name)).filter_map(|(name, value)| Some((name, value?))).collect()
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
