//! Checks the job queues and their dead-letter queues: access and attributes.

use std::time::Duration;

use aws_config::SdkConfig;

use super::{Check, Finding, PATIENCE, all};
use crate::aws::identity;
use crate::aws::queue::{Queue, QueueAttributes, QueueError};
use crate::aws::sdk_error::NETWORK_HINT;
use crate::config::Config;
use crate::health::fit::{self, FoundQueue};
use muster_core::format::span;

/// The main queue and, if configured, the replay queue.
pub(super) struct ExaminedQueues(pub(super) Vec<ExaminedQueue>);

/// A job queue and its state.
pub(super) struct ExaminedQueue {
    /// The name in the settings.
    pub(super) name: String,
    pub(super) reached: Result<ReachedQueue, QueueFailure>,
}

#[derive(Clone)]
pub(super) struct ReachedQueue {
    pub(super) queue: Queue,
    pub(super) attributes: QueueAttributes,
    /// Its dead-letter queue, if it has one.
    dead: Option<Result<QueueAttributes, QueueFailure>>,
}

/// Why the attributes of a queue cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum QueueFailure {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("no answer within {}", span(*.0))]
    Timeout(Duration),
}

impl ExaminedQueues {
    /// Reads the attributes of all of them.
    pub(super) async fn reach(config: &Config) -> Self {
        let aws = identity::load(&config.aws.access()).await;
        let names = [&config.queue.name].into_iter().chain(&config.queue.replay).cloned();
        Self(all(names.map(|name| ExaminedQueue::reach(aws.clone(), name))).await)
    }

    /// Returns the findings of each queue, then the mismatches with the settings.
    pub(super) fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        for queue in &self.0 {
            findings.push(queue.finding());
            findings.push(queue.dead_letters());
        }
        // The queues are compared with each other, so both must be readable.
        let found: Vec<_> = self.0.iter().filter_map(ExaminedQueue::found).collect();
        if found.len() == self.0.len() {
            let mismatches = fit::of_queues(config, &found);
            findings.extend(mismatches.iter().map(|mismatch| Finding::mismatch(Check::Queue, "", mismatch)));
        }
        findings
    }
}

impl ExaminedQueue {
    async fn reach(aws: SdkConfig, name: String) -> Self {
        // Boxed: this future is very large and would be embedded in every future around it.
        let reached = Box::pin(in_time(ReachedQueue::read(&aws, &name))).await;
        Self { name, reached }
    }

    fn found(&self) -> Option<FoundQueue<'_>> {
        let reached = self.reached.as_ref().ok()?;
        let dead_letter = reached.dead.as_ref().and_then(|dead| dead.as_ref().ok());
        Some(FoundQueue { name: &self.name, url: reached.queue.url(), attributes: &reached.attributes, dead_letter })
    }

    fn finding(&self) -> Finding {
        match &self.reached {
            Ok(ReachedQueue { attributes, .. }) => Finding::ok(Check::Queue, &self.name, described(attributes)),
            Err(failure) => Finding::problem(Check::Queue, &self.name, failure.to_string(), fix(failure)),
        }
    }

    fn dead_letters(&self) -> Finding {
        let check = Check::DeadLetterQueue;
        let Ok(reached) = &self.reached else {
            return Finding::skipped(check, &self.name, "the queue cannot be read");
        };
        match &reached.dead {
            None => Finding::skipped(check, &self.name, "the queue has none"),
            Some(Ok(dead)) if dead.messages() > 0 => {
                let found = format!("contains messages (about {})", dead.messages());
                Finding::warning(
                    check,
                    &self.name,
                    found,
                    "`muster dead list` shows them, `muster dead replay` resends them",
                )
            }
            Some(Ok(dead)) => {
                Finding::ok(check, &self.name, format!("empty, keeps messages for {}", span(dead.retention)))
            }
            Some(Err(failure)) => {
                let found = format!("cannot be read: {failure}");
                let fix = "create the queue that the RedrivePolicy names, and allow sqs:GetQueueUrl and \
                            sqs:GetQueueAttributes on it";
                Finding::warning(check, &self.name, found, fix)
            }
        }
    }
}

impl ReachedQueue {
    async fn read(aws: &SdkConfig, name: &str) -> Result<Self, QueueError> {
        let queue = Queue::open(aws, name).await?;
        let attributes = queue.attributes().await?;
        let dead = match &attributes.dead_letter_arn {
            Some(arn) => Some(in_time(async { queue.dead_letter_queue(arn).await?.attributes().await }).await),
            None => None,
        };
        Ok(Self { queue, attributes, dead })
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueFailure> {
    Ok(tokio::time::timeout(PATIENCE, work).await.map_err(|_| QueueFailure::Timeout(PATIENCE))??)
}

fn described(attributes: &QueueAttributes) -> String {
    let dead = attributes
        .max_receive_count
        .map_or_else(String::new, |n| format!(", to the dead-letter queue after {n} receives"));
    format!(
        "standard, {} messages, visibility timeout {}, retention {}{dead}",
        attributes.messages(),
        span(attributes.visibility_timeout),
        span(attributes.retention),
    )
}

fn fix(failure: &QueueFailure) -> &'static str {
    match failure {
        QueueFailure::Queue(error) => error.hint(),
        QueueFailure::Timeout(_) => NETWORK_HINT,
    }
}
