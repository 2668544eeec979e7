//! Sends bodies that were taken out of the way back to a queue of jobs, unchanged.
//!
//! A body is read as a worker of the same settings reads it; what is no job is not sent. Whoever asks removes what was
//! sent only after SQS took it: a crash in between sends it twice, which is harmless.

use std::collections::HashSet;

use crate::aws::queue::{EntryResult, OutgoingMessage, Queue, QueueError, pack};
use crate::config::Config;
use muster_core::job::{Job, ParseError};

/// Sends bodies of jobs on.
#[derive(Debug)]
pub struct Redrive {
    queue: Queue,
    targets: HashSet<String>,
}

impl Redrive {
    /// Sends to a queue, for the targets that the settings have.
    pub fn new(config: &Config, queue: Queue) -> Self {
        Self { queue, targets: config.targets.keys().cloned().collect() }
    }

    /// Where bodies are sent.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Reads a body as a worker would.
    ///
    /// # Errors
    /// It is no job, or one for a target that the settings do not have.
    pub fn read(&self, body: &str) -> Result<Job, ParseError> {
        let job = Job::parse(body)?;
        let is_served = self.targets.contains(job.target.as_str());
        if is_served { Ok(job) } else { Err(ParseError::UnknownTarget { target: job.target }) }
    }

    /// Sends bodies as they are, in as few calls as SQS allows. The source of a job is its tenant, as `enqueue` has it.
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

/// What came of sending bodies.
#[derive(Debug, Default)]
pub struct SentBodies {
    /// What SQS said of each, from the first on.
    pub results: Vec<EntryResult>,
    /// Why a call failed as a whole; of the bodies without a result, none is known to be sent.
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
    fn a_job_of_a_target_that_is_not_configured_is_none() {
        let redrive = Redrive::new(&Config::default(), Queue::uncalled("jobs"));
        assert!(redrive.read(&BODY.replace("TARGET", "default")).is_ok());
        assert_eq!(redrive.read(&BODY.replace("TARGET", "mars")).unwrap_err().code(), "unknown_target");
        assert_eq!(redrive.read("no job").unwrap_err().code(), "not_json");
    }
}
