//! The attributes that a queue's owner can set, each within its range.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::error::{invalid_attribute, unknown_attribute};
use crate::answer::AwsError;

/// The settings of a queue.
#[derive(Clone, Debug)]
pub(super) struct QueueSettings {
    pub(super) visibility_s: u64,
    pub(super) delay_s: u64,
    pub(super) retention_s: u64,
    pub(super) wait_s: u64,
    pub(super) message_max: u64,
    pub(super) redrive: Option<RedrivePolicy>,
    /// Attributes that the sandbox only stores, as they were set.
    others: BTreeMap<String, String>,
    created: OffsetDateTime,
    modified: OffsetDateTime,
}

/// When a message moves to the dead-letter queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedrivePolicy {
    #[serde(rename = "deadLetterTargetArn")]
    pub(super) target_arn: String,
    #[serde(deserialize_with = "number_or_text")]
    pub(super) max_receive_count: u32,
}

/// Attributes that have no effect in the sandbox.
const STORED_ONLY: [&str; 5] =
    ["Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"];

/// Maximum size of a message, in bytes: 1 MiB.
pub(super) const MESSAGE_MAX: u64 = 1 << 20;

impl QueueSettings {
    /// Returns the default settings of a queue.
    pub(super) fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            visibility_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            wait_s: 0,
            message_max: MESSAGE_MAX,
            redrive: None,
            others: BTreeMap::new(),
            created: now,
            modified: now,
        }
    }

    /// Returns these settings with the given changes.
    ///
    /// # Errors
    /// `InvalidAttributeName` or `InvalidAttributeValue`.
    pub(super) fn with(&self, changes: &BTreeMap<String, String>) -> Result<Self, AwsError> {
        let mut settings = self.clone();
        for (name, value) in changes {
            settings.set(name, value)?;
        }
        settings.modified = OffsetDateTime::now_utc();
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), AwsError> {
        match name {
            "VisibilityTimeout" => self.visibility_s = in_range(name, value, 0, 43_200)?,
            "DelaySeconds" => self.delay_s = in_range(name, value, 0, 900)?,
            "MessageRetentionPeriod" => self.retention_s = in_range(name, value, 60, 1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait_s = in_range(name, value, 0, 20)?,
            "MaximumMessageSize" => self.message_max = in_range(name, value, 1_024, MESSAGE_MAX)?,
            "RedrivePolicy" => self.redrive = redrive(name, value)?,
            _ if STORED_ONLY.contains(&name) => {}
            _ => return Err(unknown_attribute(name)),
        }
        if name == "RedrivePolicy" || STORED_ONLY.contains(&name) {
            self.others.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// Returns the value of an attribute as `GetQueueAttributes` reports it; `None` if it is not set.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "VisibilityTimeout" => self.visibility_s.to_string(),
            "DelaySeconds" => self.delay_s.to_string(),
            "MessageRetentionPeriod" => self.retention_s.to_string(),
            "ReceiveMessageWaitTimeSeconds" => self.wait_s.to_string(),
            "MaximumMessageSize" => self.message_max.to_string(),
            "CreatedTimestamp" => self.created.unix_timestamp().to_string(),
            "LastModifiedTimestamp" => self.modified.unix_timestamp().to_string(),
            _ => self.others.get(name).filter(|value| !value.is_empty())?.clone(),
        })
    }

    /// Returns the name of the dead-letter queue.
    pub(super) fn dead_letter_queue(&self) -> Option<&str> {
        self.redrive.as_ref()?.target_arn.rsplit(':').next()
    }

    pub(super) fn retention_ms(&self) -> u64 {
        self.retention_s * 1_000
    }
}

fn in_range(name: &str, value: &str, low: u64, high: u64) -> Result<u64, AwsError> {
    let number = value.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| invalid_attribute(name, &format!("Must be an integer from {low} to {high}.")))
}

/// Parses a redrive policy; an empty one removes the policy.
fn redrive(name: &str, value: &str) -> Result<Option<RedrivePolicy>, AwsError> {
    if value.is_empty() {
        return Ok(None);
    }
    let redrive: RedrivePolicy = serde_json::from_str(value).map_err(|e| invalid_attribute(name, &e.to_string()))?;
    if !(1..=1_000).contains(&redrive.max_receive_count) {
        return Err(invalid_attribute(name, "maxReceiveCount must be an integer from 1 to 1000."));
    }
    Ok(Some(redrive))
}

/// Parses `maxReceiveCount`, which SQS accepts as a number and as text.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = match &value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    };
    number.ok_or_else(|| serde::de::Error::custom("maxReceiveCount is not an integer"))
}
