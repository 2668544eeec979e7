//! What the recorder receives, and how it is written to the ledger.

use std::fmt;

use tokio::time::Instant;

use crate::engine::single_flight::Claim;
use crate::engine::slots::Delivery;
use crate::ledger::{MessageOrigin, Page, Quarantined};
use crate::telemetry::metrics::Stage;
use muster_core::account::Account;
use muster_core::certificate::pem;
use muster_core::job::{Job, ParseError};
use muster_core::outcome::Outcome;

/// A delivery that the worker is finished with.
#[derive(Debug)]
pub struct Finished {
    /// The delivery.
    pub delivery: Delivery,
    /// The result of its work.
    pub finish: Finish,
    /// When it began to wait to be written.
    pub since: Instant,
}

/// The result of a delivery.
#[derive(Debug)]
pub enum Finish {
    /// The job has an outcome.
    Outcome {
        /// The job.
        job: Box<Job>,
        /// The account and region of its target.
        account: Account,
        /// The outcome.
        outcome: Box<Outcome>,
        /// The single-flight claim on the certificate, held until the outcome is committed.
        claim: Option<Claim>,
    },
    /// The body is not a job.
    Quarantined(Box<NotAJob>),
    /// The process is stopping: the message is left to another worker.
    Released,
}

/// A body that is not a job.
pub struct NotAJob {
    /// Why it is not a job.
    pub error: ParseError,
    /// The body.
    pub body: String,
}

/// Prints no body: what producers send must never reach a log.
impl fmt::Debug for NotAJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotAJob").field("error", &self.error).field("bytes", &self.body.len()).finish()
    }
}

impl Finished {
    /// Moves a delivery to the recording or releasing stage.
    pub fn new(delivery: Delivery, finish: Finish) -> Self {
        let is_released = matches!(finish, Finish::Released);
        delivery.slot.enter(if is_released { Stage::Releasing } else { Stage::Recording });
        Self { delivery, finish, since: Instant::now() }
    }

    /// Returns whether there is something to write to the ledger.
    pub fn needs_recording(&self) -> bool {
        !matches!(self.finish, Finish::Released)
    }

    /// Adds its row to a page.
    pub fn write_to(&self, page: &mut Page) {
        match &self.finish {
            Finish::Outcome { job, account, outcome, .. } => {
                let message = MessageOrigin {
                    id: &self.delivery.message_id,
                    sent_at: self.delivery.sent_at,
                    received_at: self.delivery.received_at,
                };
                page.add_outcome(message, job, account, outcome);
            }
            Finish::Quarantined(no_job) => page.quarantined.push(quarantined(&self.delivery, no_job)),
            Finish::Released => {}
        }
    }
}

fn quarantined(delivery: &Delivery, no_job: &NotAJob) -> Quarantined {
    Quarantined {
        queue: delivery.queue.url().to_owned(),
        message_id: delivery.message_id.clone(),
        reason: no_job.error.code(),
        detail: no_job.error.to_string(),
        body: pem::blank_private_keys(&no_job.body),
        sent_at: delivery.sent_at,
    }
}
