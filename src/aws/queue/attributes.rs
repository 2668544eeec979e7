//! The attributes of a queue: its settings and how full it is.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

/// The attributes of a queue: its settings and how full it is.
#[derive(Clone, Debug, Default)]
pub struct QueueAttributes {
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that are received but not deleted.
    pub in_flight: u64,
    /// Messages that are delayed.
    pub delayed: u64,
    /// How long a received message stays hidden.
    pub visibility_timeout: Duration,
    /// How long the queue keeps a message.
    pub retention: Duration,
    /// Number of deliveries after which a message goes to the dead-letter queue. `None`: there is no such queue.
    pub max_receive_count: Option<u32>,
    /// The ARN of the dead-letter queue.
    pub dead_letter_arn: Option<String>,
    /// The KMS key that encrypts the messages. `None`: SQS manages the key, or the queue is not encrypted.
    pub kms_key: Option<String>,
}

impl QueueAttributes {
    /// Reads the attributes in an SQS answer.
    ///
    /// # Errors
    /// The name of a missing attribute. A missing count must not be read as 0, which would mean that the queue is
    /// empty.
    pub(super) fn read(attributes: &HashMap<QueueAttributeName, String>) -> Result<Self, &'static str> {
        use QueueAttributeName as Name;
        let number = |name| attributes.get(&name).and_then(|text| text.parse().ok());
        let redrive = attributes.get(&Name::RedrivePolicy).and_then(|policy| redrive(policy)).unzip();
        let visibility = number(Name::VisibilityTimeout).ok_or("VisibilityTimeout")?;
        let retention = number(Name::MessageRetentionPeriod).ok_or("MessageRetentionPeriod")?;
        Ok(Self {
            visible: number(Name::ApproximateNumberOfMessages).ok_or("ApproximateNumberOfMessages")?,
            in_flight: number(Name::ApproximateNumberOfMessagesNotVisible)
                .ok_or("ApproximateNumberOfMessagesNotVisible")?,
            delayed: number(Name::ApproximateNumberOfMessagesDelayed).ok_or("ApproximateNumberOfMessagesDelayed")?,
            visibility_timeout: Duration::from_secs(visibility),
            retention: Duration::from_secs(retention),
            max_receive_count: redrive.0,
            dead_letter_arn: redrive.1,
            kms_key: attributes.get(&Name::KmsMasterKeyId).filter(|key| !key.is_empty()).cloned(),
        })
    }

    /// Returns the total number of messages.
    pub fn messages(&self) -> u64 {
        self.visible.saturating_add(self.in_flight).saturating_add(self.delayed)
    }
}

/// Reads the receive limit and the dead-letter queue's ARN from a `RedrivePolicy`.
fn redrive(policy: &str) -> Option<(u32, String)> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let count = policy.get("maxReceiveCount")?;
    // SQS returns it as a number or as text, depending on how it was set.
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    Some((count.try_into().ok()?, policy.get("deadLetterTargetArn")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRED: [QueueAttributeName; 5] = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        QueueAttributeName::VisibilityTimeout,
        QueueAttributeName::MessageRetentionPeriod,
    ];

    #[test]
    fn the_greatest_counts_add_up_without_overflow() {
        let attributes = REQUIRED.map(|name| (name, u64::MAX.to_string())).into();
        assert_eq!(QueueAttributes::read(&attributes).unwrap().messages(), u64::MAX);
    }

    #[test]
    fn a_missing_attribute_is_an_error() {
        for left_out in REQUIRED {
            let mut attributes: HashMap<_, _> = REQUIRED.map(|name| (name, "7".to_owned())).into();
            assert_eq!(QueueAttributes::read(&attributes).unwrap().messages(), 21);
            attributes.remove(&left_out);
            assert_eq!(QueueAttributes::read(&attributes).unwrap_err(), left_out.as_str());
        }
    }

    #[test]
    fn the_receive_limit_is_read_as_a_number_or_as_text() {
        let arn = "arn:aws:sqs:us-east-1:123456789012:dead";
        for count in ["5", "\"5\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            assert_eq!(redrive(&policy), Some((5, arn.to_owned())));
        }
        assert_eq!(redrive("nonsense"), None);
    }
}
