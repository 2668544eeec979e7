//! Recognises envelopes that other services put around a message on its way to the queue.
//!
//! A wrapped job is not processed: the envelope shows that a queue, a rule or a function is misconfigured. The wrapper
//! is recognised so that the error can say what to change. Only the envelope's own fields are examined.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use strum::{EnumMessage, VariantArray};

/// An envelope around a message; its message says what to change.
#[derive(Clone, Copy, Debug, EnumMessage, Eq, PartialEq, VariantArray)]
pub enum Wrapper {
    /// An SNS notification.
    #[strum(
        message = "an Amazon SNS notification",
        detailed_message = "enable raw message delivery on the subscription"
    )]
    Sns,
    /// The message with which SNS asks to confirm a subscription.
    #[strum(
        message = "not a job but an Amazon SNS subscription confirmation",
        detailed_message = "confirm the subscription, and enable raw message delivery on it"
    )]
    SnsConfirmation,
    /// An `EventBridge` event.
    #[strum(message = "an Amazon EventBridge event", detailed_message = "set the target's input path to $.detail")]
    EventBridge,
    /// A record forwarded by an `EventBridge` pipe.
    #[strum(
        message = "a record of an Amazon EventBridge pipe",
        detailed_message = "set the target input template of the pipe to <$.body>"
    )]
    Pipe,
    /// An S3 bucket notification.
    #[strum(
        message = "not a job but an Amazon S3 event notification",
        detailed_message = "remove the queue from the bucket's event notifications, and send the object's certificates with \
                            `muster enqueue`"
    )]
    S3,
    /// Messages as a Lambda function receives them.
    #[strum(
        message = "an event as a Lambda function receives it",
        detailed_message = "send the body of each record as a separate message"
    )]
    LambdaRecords,
    /// The record of an invocation that Lambda sends to a destination.
    #[strum(
        message = "the invocation record of a Lambda destination",
        detailed_message = "have the function send the job itself instead of using a destination"
    )]
    LambdaDestination,
    /// An event in the JSON format of `CloudEvents`.
    #[strum(message = "a CloudEvents event", detailed_message = "send only the value of its field `data`")]
    CloudEvents,
    /// JSON inside a JSON string.
    #[strum(message = "a JSON string", detailed_message = "send the JSON object itself: it was serialised twice")]
    JsonString,
    /// JSON in base64.
    #[strum(message = "base64", detailed_message = "send the body as plain text")]
    Base64,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl Wrapper {
    /// Finds the wrapper of a body that is not a job.
    pub(super) fn of(body: &str) -> Option<Self> {
        match body.trim_start().bytes().next()? {
            b'{' => Self::of_object(&serde_json::from_str(body).ok()?),
            b'[' => Self::of_array(&serde_json::from_str::<Vec<Fields<'_>>>(body).ok()?),
            b'"' => serde_json::from_str::<String>(body).ok().filter(|text| is_object(text)).map(|_| Self::JsonString),
            _ => {
                let decoded = BASE64_STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
                std::str::from_utf8(&decoded).ok().filter(|text| is_object(text)).map(|_| Self::Base64)
            }
        }
    }

    fn of_object(fields: &Fields<'_>) -> Option<Self> {
        let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
        match text(fields, "Type").as_deref() {
            Some("Notification") if has(&["Message"]) => return Some(Self::Sns),
            Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => return Some(Self::SnsConfirmation),
            _ => {}
        }
        if text(fields, "Event").is_some_and(|event| event.starts_with("s3:")) {
            return Some(Self::S3);
        }
        if let Some(records) = fields.get("Records") {
            return Self::of_records(&serde_json::from_str::<Vec<Fields<'_>>>(records.get()).ok()?);
        }
        let marks: [(&[&str], Self); 3] = [
            (&["detail-type", "detail"], Self::EventBridge),
            (&["requestContext", "requestPayload"], Self::LambdaDestination),
            (&["specversion", "type", "source"], Self::CloudEvents),
        ];
        marks.into_iter().find(|(names, _)| has(names)).map(|(_, wrapper)| wrapper)
    }

    /// An `EventBridge` pipe forwards its records without anything around them.
    fn of_array(records: &[Fields<'_>]) -> Option<Self> {
        match records {
            [only] if only.contains_key("receiptHandle") => Some(Self::Pipe),
            _ => Self::of_records(records),
        }
    }

    /// S3, SQS and streams write `eventSource`, SNS writes `EventSource`.
    fn of_records(records: &[Fields<'_>]) -> Option<Self> {
        let first = records.first()?;
        let source = text(first, "eventSource").or_else(|| text(first, "EventSource"));
        match source.as_deref() {
            Some("aws:s3") => Some(Self::S3),
            Some(source) if source.starts_with("aws:") => Some(Self::LambdaRecords),
            _ => None,
        }
    }

    /// Says what the body is, and what to change.
    pub(super) fn advice(self) -> String {
        let (what, fix) = (self.get_message(), self.get_detailed_message());
        format!("the body is {}: {}", what.unwrap_or_default(), fix.unwrap_or_default())
    }
}

fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    String::deserialize(*fields.get(name)?).ok()
}

/// Returns whether a text starts like a JSON object.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn well_known_wrappers_are_recognised() {
        let job = r#"{"version":1,"operation":"RegisterCertificate","request":{"certificatePem":"x"}}"#;
        let sqs = json!({ "messageId": "a", "receiptHandle": "b", "body": job, "eventSource": "aws:sqs" });
        for (body, wrapper) in [
            (json!({ "Type": "Notification", "MessageId": "a", "TopicArn": "b", "Message": job }), Wrapper::Sns),
            (json!({ "Type": "SubscriptionConfirmation", "Token": "a" }), Wrapper::SnsConfirmation),
            (json!({ "version": "0", "id": "a", "detail-type": "b", "detail": {} }), Wrapper::EventBridge),
            (json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3" }] }), Wrapper::S3),
            (json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" }), Wrapper::S3),
            (json!({ "Records": [&sqs, &sqs] }), Wrapper::LambdaRecords),
            (json!({ "Records": [&sqs] }), Wrapper::LambdaRecords),
            (json!({ "Records": [{ "EventSource": "aws:sns", "Sns": {} }] }), Wrapper::LambdaRecords),
            (json!([&sqs]), Wrapper::Pipe),
            (
                json!({ "version": "1.0", "requestContext": {}, "requestPayload": {}, "responsePayload": {} }),
                Wrapper::LambdaDestination,
            ),
            (json!({ "specversion": "1.0", "type": "a", "source": "b", "data": {} }), Wrapper::CloudEvents),
            (json!(job), Wrapper::JsonString),
        ] {
            assert_eq!(Wrapper::of(&body.to_string()), Some(wrapper), "{body}");
        }
        assert_eq!(Wrapper::of(&BASE64_STANDARD.encode(job)), Some(Wrapper::Base64));
    }

    #[test]
    fn other_bodies_have_no_wrapper() {
        for body in [
            "",
            "{}",
            "[]",
            "[1]",
            "1",
            "hello",
            "aGVsbG8=",
            r#""hello""#,
            r#"{"Type":1}"#,
            r#"{"Type":"Notification"}"#,
        ] {
            assert_eq!(Wrapper::of(body), None, "{body}");
        }
        for body in [json!({ "Records": [] }), json!({ "Records": 5 }), json!({ "detail": {} })] {
            assert_eq!(Wrapper::of(&body.to_string()), None, "{body}");
        }
    }

    #[test]
    fn every_wrapper_says_what_to_change() {
        for wrapper in Wrapper::VARIANTS {
            assert!(wrapper.get_message().is_some() && wrapper.get_detailed_message().is_some(), "{wrapper:?}");
        }
    }
}
