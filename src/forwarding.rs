//! Sends bodies that were taken out of the way back to a queue of jobs, unchanged.
//!
//! A body is read as a worker of the same settings reads it; what is no job is not sent. Whoever asks removes what was
//! sent only after SQS took it: a crash in between sends it twice, which is harmless.

use std::collections::HashSet;

use crate::config::Config;
use crate::enqueue::send::CALL_BYTES_MAX;
use crate::job::{Job, ParseError};
use crate::queue::{CALL_MAX, EntryResult, Outgoing, Queue, QueueError};

/// Sends bodies of jobs on.
#[derive(Debug)]
pub struct Forwarding {
    queue: Queue,
    targets: HashSet<String>,
}

impl Forwarding {
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
    pub async fn send(&self, jobs: &[(&Job, &str)]) -> Sent {
        let mut sent = Sent::default();
        for call in calls(jobs) {
            let messages: Vec<_> = call.iter().map(|(job, body)| message(job, body)).collect();
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
pub struct Sent {
    /// What SQS said of each, from the first on.
    pub results: Vec<EntryResult>,
    /// Why a call failed as a whole; of the bodies without a result, none is known to be sent.
    pub error: Option<QueueError>,
}

fn message(job: &Job, body: &str) -> Outgoing {
    Outgoing { body: body.to_owned(), group: job.source.as_ref().map(ToString::to_string) }
}

/// Parts bodies into calls: ten at most, and 1 MiB together.
fn calls<'a, 'b>(mut jobs: &'a [(&'b Job, &'b str)]) -> Vec<&'a [(&'b Job, &'b str)]> {
    let mut calls = Vec::new();
    while !jobs.is_empty() {
        let mut n_bytes = 0;
        let fitting = jobs.iter().take(CALL_MAX).take_while(|(job, body)| {
            n_bytes += body.len() + job.source.as_ref().map_or(0, |source| source.as_str().len());
            n_bytes <= CALL_BYTES_MAX
        });
        // One that is too large goes alone: SQS says so.
        let (call, rest) = jobs.split_at(fitting.count().max(1));
        calls.push(call);
        jobs = rest;
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"version":1,"operation":"RegisterCertificate","target":"TARGET","request":{"certificatePem":"x"}}"#;

    fn sizes(bodies: &[&str]) -> Vec<usize> {
        let job = Job::parse(BODY).unwrap();
        let jobs: Vec<_> = bodies.iter().map(|body| (&job, *body)).collect();
        calls(&jobs).iter().map(|call| call.len()).collect()
    }

    #[test]
    fn a_call_holds_ten_bodies_and_one_mebibyte_at_most() {
        let (small, half) = ("x", "x".repeat(CALL_BYTES_MAX / 2));
        let large = "x".repeat(CALL_BYTES_MAX + 1);
        assert_eq!(sizes(&[small; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[&half, &half, &half]), [2, 1]);
        assert_eq!(sizes(&[small, &large, small]), [1, 1, 1]);
        assert!(sizes(&[]).is_empty());
    }

    #[test]
    fn a_job_of_a_target_that_is_not_configured_is_none() {
        let forwarding = Forwarding::new(&Config::default(), Queue::uncalled("jobs"));
        assert!(forwarding.read(&BODY.replace("TARGET", "default")).is_ok());
        assert_eq!(forwarding.read(&BODY.replace("TARGET", "mars")).unwrap_err().code(), "unknown_target");
        assert_eq!(forwarding.read("no job").unwrap_err().code(), "not_json");
    }
}
