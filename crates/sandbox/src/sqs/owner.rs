//! The operations of a queue's owner: create, find, describe, configure, purge and delete.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::message::Instants;
use super::queue::SandboxQueue;
use super::settings::QueueSettings;
use super::{Addressed, Queues, Sqs, error, name_in, read};
use crate::answer::{AwsError, Reply};

/// Attributes that a queue reports in addition to its settings.
const SHOWN: [&str; 4] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];

/// Settings that a queue reports if they are set.
const SET: [&str; 13] = [
    "VisibilityTimeout",
    "DelaySeconds",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "MaximumMessageSize",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "RedrivePolicy",
    "Policy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
];

/// Maximum length of a queue name.
const NAME_MAX: usize = 80;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetQueueAttributes {
    queue_url: String,
    attributes: BTreeMap<String, String>,
}

impl Sqs {
    pub(super) fn create_queue(&self, host: &str, body: &[u8]) -> Reply {
        let request: CreateQueue = read(body)?;
        let name = request.queue_name;
        check_name(&name)?;
        let settings = QueueSettings::new().with(&request.attributes)?;
        let queues = &mut *self.queues();
        if let Some(queue) = queues.by_name.get(&name) {
            check_same(&name, &queue.settings, &request.attributes)?;
        } else {
            self.check_redrive(queues, &settings)?;
            queues.n_created += 1;
            queues.by_name.insert(name.clone(), SandboxQueue::new(queues.n_created, settings));
        }
        Ok(json!({ "QueueUrl": self.url(host, &name) }).to_string())
    }

    pub(super) fn delete_queue(&self, body: &[u8]) -> Reply {
        let request: Addressed = read(body)?;
        let queue = self.queues().by_name.remove(name_in(&request.queue_url)).ok_or_else(error::no_queue)?;
        queue.arrival.notify_waiters();
        Ok(json!({}).to_string())
    }

    pub(super) fn queue_url(&self, host: &str, body: &[u8]) -> Reply {
        let request: GetQueueUrl = read(body)?;
        self.queues().at(&request.queue_name)?;
        Ok(json!({ "QueueUrl": self.url(host, &request.queue_name) }).to_string())
    }

    pub(super) fn list_queues(&self, host: &str, body: &[u8]) -> Reply {
        let request: ListQueues = read(body)?;
        let queues = self.queues();
        let names = queues.by_name.keys().filter(|name| name.starts_with(&request.queue_name_prefix));
        let urls: Vec<String> = names.map(|name| self.url(host, name)).collect();
        Ok(json!({ "QueueUrls": urls }).to_string())
    }

    pub(super) fn queue_attributes(&self, body: &[u8]) -> Reply {
        let request: GetQueueAttributes = read(body)?;
        let mut queues = self.queues();
        let queue = queues.at(&request.queue_url)?;
        queue.wake(Instants::now());
        let mut attributes = BTreeMap::new();
        for name in &request.attribute_names {
            let known: Vec<&str> =
                SHOWN.into_iter().chain(SET).filter(|known| name == "All" || name == known).collect();
            if known.is_empty() {
                return Err(error::unknown_attribute(name));
            }
            let values = known.iter().map(|name| (*name, self.attribute(queue, name_in(&request.queue_url), name)));
            attributes.extend(values.filter_map(|(name, value)| Some((name, value?))));
        }
        Ok(json!({ "Attributes": attributes }).to_string())
    }

    pub(super) fn set_queue_attributes(&self, body: &[u8]) -> Reply {
        let request: SetQueueAttributes = read(body)?;
        let mut queues = self.queues();
        let settings = queues.at(&request.queue_url)?.settings.with(&request.attributes)?;
        self.check_redrive(&queues, &settings)?;
        queues.at(&request.queue_url)?.settings = settings;
        Ok(json!({}).to_string())
    }

    pub(super) fn purge_queue(&self, body: &[u8]) -> Reply {
        let request: Addressed = read(body)?;
        self.queues().at(&request.queue_url)?.purge();
        Ok(json!({}).to_string())
    }

    fn attribute(&self, queue: &SandboxQueue, queue_name: &str, name: &str) -> Option<String> {
        let (visible, in_flight, delayed) = queue.sizes();
        match name {
            "QueueArn" => Some(self.queue_arn(queue_name)),
            "ApproximateNumberOfMessages" => Some(visible.to_string()),
            "ApproximateNumberOfMessagesNotVisible" => Some(in_flight.to_string()),
            "ApproximateNumberOfMessagesDelayed" => Some(delayed.to_string()),
            _ => queue.settings.get(name),
        }
    }

    /// Checks that the dead-letter queue of a redrive policy exists.
    fn check_redrive(&self, queues: &Queues, settings: &QueueSettings) -> Result<(), AwsError> {
        let Some(name) = settings.dead_letter_queue() else { return Ok(()) };
        let arn = settings.redrive.as_ref().map(|redrive| redrive.target_arn.as_str());
        if queues.by_name.contains_key(name) && arn == Some(self.queue_arn(name).as_str()) {
            return Ok(());
        }
        Err(error::invalid_attribute("RedrivePolicy", "Dead letter target does not exist."))
    }

    /// Returns a queue URL with the host under which the caller reached the sandbox, so that the caller can reach the
    /// queue too.
    fn url(&self, host: &str, name: &str) -> String {
        format!("http://{host}/{}/{name}", self.account)
    }
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(error::invalid_parameter(
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length (the sandbox has no FIFO \
         queues)",
    ))
}

/// Checks that creating an existing queue again asks for no other attributes.
fn check_same(name: &str, have: &QueueSettings, want: &BTreeMap<String, String>) -> Result<(), AwsError> {
    match want.iter().find(|(attribute, value)| have.get(attribute).as_ref() != Some(value)) {
        None => Ok(()),
        Some((attribute, _)) => Err(error::queue_exists(name, attribute)),
    }
}
