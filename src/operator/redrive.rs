//! Sends quarantined or dead-lettered message bodies back to a job queue, unchanged.
//!
//! Parses each body as a worker with the same settings would; a body that is not a job is not sent. Callers delete the
//! original only after SQS accepted the copy. A crash in between sends it twice, which is harmless.

use std::collections::HashSet;

use crate::aws::queue::{EntryResult, OutgoingMessage, Queue, QueueError, pack};
use crate::config::Config;
use muster_core::job::{Job, ParseError};

/// Sends job bodies to a queue.
#[derive(Debug)]
pub struct Redrive {
    queue: Queue,
    targets: HashSet<String>,
}

impl Redrive {
    /// Creates a sender to a queue for the configured targets.
    pub fn new(config: &Config, queue: Queue) -> Self {
        Self { queue, targets: config.targets.keys().cloned().collect() }
    }

    /// Returns the queue that bodies are sent to.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Parses a body as a worker would.
    ///
    /// # Errors
    /// The body is not a job, or its target is not configured.
    pub fn read(&self, body: &str) -> Result<Job, ParseError> {
        Job::parse_served(body, |target| self.targets.contains(target.as_str()))
    }

    /// Sends bodies unchanged, in as few calls as SQS allows. The message group is the job's source, as in `enqueue`.
    pub async fn send(&self, jobs: &[(&Job, &str)]) -> SentBodies {
        let mut sent = SentBodies::default();
        let messages = jobs.iter().map(|(job, body)| message(job, body));
        for messages in pack(messages, |message| message) {
            match self.queue.send(&messages).await {
                Ok(results) => sent.results.extend(results),
                Err(error) => {
                    sent.error = Some(error);
                    break;
                }
            }
        }
        sent
    }
}

/// The result of sending bodies.
#[derive(Debug, Default)]
pub struct SentBodies {
    /// SQS's result for each body, in order.
    pub results: Vec<EntryResult>,
    /// Why a whole call failed. A body without a result may or may not have been sent.
    pub error: Option<QueueError>,
}

fn message(job: &Job, body: &str) -> OutgoingMessage {
    OutgoingMessage { body: body.to_owned(), group: job.source.as_ref().map(ToString::to_string) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"version":1,"operation":"RegisterCertificate","target":"TARGET","request":{"certificatePem":"x"}}"#;

    #[test]
    fn a_job_of_an_unknown_target_is_rejected() {
        let redrive = Redrive::new(&Config::default(), Queue::uncalled("jobs"));
        assert!(redrive.read(&BODY.replace("TARGET", "default")).is_ok());
        assert_eq!(redrive.read(&BODY.replace("TARGET", "mars")).unwrap_err().code(), "unknown_target");
        assert_eq!(redrive.read("no job").unwrap_err().code(), "not_json");
    }
}
