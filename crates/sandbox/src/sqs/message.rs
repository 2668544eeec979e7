//! A message, its receipt handle, and the digests that SQS returns.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// An instant on both the timer clock and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instants {
    pub(super) at: Instant,
    pub(super) unix_ms: u64,
}

impl Instants {
    pub(super) fn now() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), unix_ms: u64::try_from(unix.as_millis()).expect("the year is before 500,000,000") }
    }
}

/// A message attribute in the format of SQS.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MessageAttribute {
    pub(super) data_type: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) string_value: Option<String>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) binary_value: Option<String>,
}

/// Message attributes by name.
pub(super) type MessageAttributes = BTreeMap<String, MessageAttribute>;

/// The content of a message as sent.
pub(super) struct MessageContent {
    pub(super) body: Arc<str>,
    /// Empty if the sender named no group.
    pub(super) group: Arc<str>,
    pub(super) attributes: Option<Box<MessageAttributes>>,
    /// The X-Ray trace header, which is returned to the receiver.
    pub(super) trace: Option<Box<str>>,
}

/// A message in a queue.
pub(super) struct QueuedMessage {
    /// Unique among all messages of a sandbox; unchanged when the message moves to a dead-letter queue.
    pub(super) number: u64,
    pub(super) content: MessageContent,
    pub(super) body_md5: [u8; 16],
    /// The batch named in the body.
    pub(super) batch: Arc<str>,
    pub(super) sent_ms: u64,
    pub(super) first_received_ms: Option<u64>,
    pub(super) receives: u32,
    /// For a dead letter, the queue it came from.
    pub(super) source_arn: Option<Arc<str>>,
}

/// The delivery that a receipt handle stands for: one delivery of one message of one queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Receipt {
    pub(super) queue: u32,
    pub(super) number: u64,
    /// The receive count at that delivery.
    pub(super) receives: u32,
}

impl Receipt {
    /// Encodes the receipt handle for the client.
    pub(super) fn handle(self) -> String {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.queue.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.number.to_be_bytes());
        bytes[12..].copy_from_slice(&self.receives.to_be_bytes());
        STANDARD.encode(bytes)
    }

    /// Decodes a handle created by [`Receipt::handle`].
    pub(super) fn read(handle: &str) -> Option<Self> {
        let bytes: [u8; 16] = STANDARD.decode(handle).ok()?.try_into().ok()?;
        let (queue, rest) = bytes.split_first_chunk()?;
        let (number, receives) = rest.split_first_chunk()?;
        Some(Self {
            queue: u32::from_be_bytes(*queue),
            number: u64::from_be_bytes(*number),
            receives: u32::from_be_bytes(receives.try_into().ok()?),
        })
    }
}

/// Returns the MD5 of a body, which some clients verify.
pub(super) fn body_md5(body: &str) -> [u8; 16] {
    Md5::digest(body.as_bytes()).into()
}

/// Returns the MD5 of message attributes, in SQS's own encoding of them.
///
/// Source: "Calculating the MD5 message digest for message attributes" in the SQS developer guide.
pub(super) fn attributes_md5(attributes: &MessageAttributes) -> String {
    let mut hash = Md5::new();
    for (name, attribute) in attributes {
        update_sized(&mut hash, name.as_bytes());
        update_sized(&mut hash, attribute.data_type.as_bytes());
        if let Some(text) = &attribute.string_value {
            hash.update([1]);
            update_sized(&mut hash, text.as_bytes());
        } else if let Some(binary) = &attribute.binary_value {
            hash.update([2]);
            update_sized(&mut hash, &STANDARD.decode(binary).unwrap_or_default());
        }
    }
    hex::encode(hash.finalize())
}

fn update_sized(hash: &mut Md5, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a message is no longer than 1 MiB");
    hash.update(length.to_be_bytes());
    hash.update(bytes);
}

/// Returns the batch that a body names, parsed as leniently as possible; `None` if it names none.
pub(super) fn batch_of(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Peek {
        batch: Option<String>,
    }
    serde_json::from_str::<Peek>(body).ok()?.batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_a_round_trip_through_its_handle() {
        let receipt = Receipt { queue: 7, number: 1 << 40, receives: 3 };
        assert_eq!(Receipt::read(&receipt.handle()), Some(receipt));
        assert_eq!(Receipt::read("AQEB"), None);
        assert_eq!(Receipt::read("not base64!"), None);
    }

    #[test]
    fn a_batch_is_read_only_from_a_body_that_names_one() {
        assert_eq!(batch_of(r#"{"version":1,"batch":"b"}"#).as_deref(), Some("b"));
        assert_eq!(batch_of(r#"{"version":1}"#), None);
        assert_eq!(batch_of(r#"{"batch":7}"#), None);
        assert_eq!(batch_of("no job"), None);
    }

    /// Computed with botocore's and moto's common algorithm for one String and one Binary attribute.
    #[test]
    fn attribute_digests_cover_names_types_and_values() {
        let attribute = |data_type: &str, text: Option<&str>| MessageAttribute {
            data_type: data_type.to_owned(),
            string_value: text.map(str::to_owned),
            binary_value: text.is_none().then(|| STANDARD.encode(b"\x01\x02")),
        };
        let attributes: MessageAttributes =
            [("a".to_owned(), attribute("String", Some("x"))), ("b".to_owned(), attribute("Binary", None))].into();
        let mut encoded = Vec::new();
        for part in [&b"a"[..], b"String"] {
            encoded.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            encoded.extend(part);
        }
        encoded.extend(b"\x01\x00\x00\x00\x01x\x00\x00\x00\x01b\x00\x00\x00\x06Binary\x02\x00\x00\x00\x02\x01\x02");
        assert_eq!(attributes_md5(&attributes), hex::encode(Md5::digest(&encoded)));
    }
}
