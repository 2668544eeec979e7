//! Sending: one message, or a batch of up to ten.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::message::{Instants, MessageAttributes, MessageContent, attributes_md5};
use super::settings::MESSAGE_MAX;
use super::{Addressed, Batch, BatchAnswer, BatchEntry, Queues, Sqs, error, limits, read};
use crate::answer::{AwsError, Reply, to_json};
use crate::fault::Strike;

/// A message as its sender writes it, alone or as a batch entry.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEntry<'a> {
    #[serde(default)]
    id: String,
    #[serde(borrow)]
    message_body: Cow<'a, str>,
    delay_seconds: Option<i64>,
    message_attributes: Option<MessageAttributes>,
    message_system_attributes: Option<MessageAttributes>,
    message_group_id: Option<String>,
}

/// The answer to the sender of a message.
#[derive(Serialize)]
struct SendReceipt {
    #[serde(rename = "Id", skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(rename = "MessageId")]
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    body_md5: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_md5: Option<String>,
}

impl Sqs {
    pub(super) fn send(&self, body: &[u8], strike: &Strike) -> Reply {
        let Addressed { queue_url } = read(body)?;
        let outgoing = read::<SendEntry>(body)?.in_transit(strike);
        let sent = self.enqueue(&mut self.queues(), &queue_url, outgoing)?;
        Ok(to_json(&sent))
    }

    pub(super) fn send_batch(&self, body: &[u8], strike: &Strike) -> Reply {
        let Batch { queue_url, entries }: Batch<SendEntry> = read(body)?;
        let queues = &mut *self.queues();
        queues.at(&queue_url)?;
        limits::check_entries(&entries)?;
        let size: usize = entries.iter().map(SendEntry::size).sum();
        if size as u64 > MESSAGE_MAX {
            return Err(error::batch_too_long(size));
        }
        let enqueue = |entry: SendEntry| self.enqueue(queues, &queue_url, entry.in_transit(strike));
        Ok(to_json(&BatchAnswer::of(entries, strike, enqueue)))
    }

    fn enqueue(&self, queues: &mut Queues, queue_url: &str, outgoing: SendEntry) -> Result<SendReceipt, AwsError> {
        let number = queues.n_messages;
        let queue = queues.at(queue_url)?;
        outgoing.check(queue.settings.message_max)?;
        let delay = outgoing.delay_seconds.unwrap_or(i64::try_from(queue.settings.delay_s).unwrap_or(0));
        let delay = limits::seconds("DelaySeconds", delay, 900)?;
        let (id, content) = outgoing.into_content();
        let attributes_md5 = content.attributes.as_deref().map(attributes_md5);
        queue.send(number, content, delay, Instants::now());
        let body_md5 = hex::encode(queue.message(number).body_md5);
        queues.n_messages += 1;
        Ok(SendReceipt { id, message_id: self.message_id(number), body_md5, attributes_md5 })
    }
}

impl BatchEntry for SendEntry<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

impl SendEntry<'_> {
    fn in_transit(self, strike: &Strike) -> Self {
        Self { message_body: strike.body_in_transit(self.message_body), ..self }
    }

    fn check(&self, size_max: u64) -> Result<(), AwsError> {
        limits::check_text(&self.message_body)?;
        limits::check_size(self.size(), size_max)?;
        if let Some(attributes) = &self.message_attributes {
            limits::check_attributes(attributes)?;
        }
        self.message_group_id.as_deref().map_or(Ok(()), limits::check_group)
    }

    fn size(&self) -> usize {
        limits::size_of(&self.message_body, self.message_attributes.as_ref())
    }

    fn into_content(self) -> (String, MessageContent) {
        let trace = self.message_system_attributes.and_then(|mut all| all.remove("AWSTraceHeader"));
        let content = MessageContent {
            body: self.message_body.into(),
            group: self.message_group_id.unwrap_or_default().into(),
            attributes: self.message_attributes.filter(|all| !all.is_empty()).map(Box::new),
            trace: trace.and_then(|attribute| attribute.string_value).map(String::into_boxed_str),
        };
        (self.id, content)
    }
}
