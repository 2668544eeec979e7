//! What the recorder is handed, and how it looks in the ledger.

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

/// A delivery whose work is done.
#[derive(Debug)]
pub struct Finished {
    /// The delivery.
    pub delivery: Delivery,
    /// What came of it.
    pub finish: Finish,
    /// Since when it waits to be written.
    pub since: Instant,
}

/// What came of a delivery.
#[derive(Debug)]
pub enum Finish {
    /// The job ended.
    Ended {
        /// The job.
        job: Box<Job>,
        /// The account and region of its target.
        account: Account,
        /// How it ended.
        outcome: Box<Outcome>,
        /// The right to the certificate, held until the end is committed.
        claim: Option<Claim>,
    },
    /// The body is no job.
    Quarantined(Box<NotAJob>),
    /// The process stops: somebody else shall do it.
    Released,
}

/// A body that is no job.
pub struct NotAJob {
    /// Why it is none.
    pub error: ParseError,
    /// The body.
    pub body: String,
}

/// Prints no body: what lines send never reaches a log.
impl fmt::Debug for NotAJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoJob").field("error", &self.error).field("bytes", &self.body.len()).finish()
    }
}

impl Finished {
    /// Hands a delivery over.
    pub fn new(delivery: Delivery, finish: Finish) -> Self {
        let is_released = matches!(finish, Finish::Released);
        delivery.slot.enter(if is_released { Stage::Releasing } else { Stage::Recording });
        Self { delivery, finish, since: Instant::now() }
    }

    /// Says whether there is something to be written.
    pub fn is_ended(&self) -> bool {
        !matches!(self.finish, Finish::Released)
    }

    /// Adds what the ledger shall hold of it.
    pub fn write_to(&self, page: &mut Page) {
        match &self.finish {
            Finish::Ended { job, account, outcome, .. } => {
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
