//! What the recorder is handed, and how it looks in the ledger.

use std::fmt;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::certificate::{Certificate, chain, pem, sha256};
use crate::claims::Claim;
use crate::hold::{HoldKey, Opening, Parking};
use crate::identity::Account;
use crate::job::{Job, ParseError, Request};
use crate::outcome::{Code, Outcome, Status};
use crate::slots::{Delivery, Stage};
use crate::store::authority::Authority;
use crate::store::row::{End, Names, Row};
use crate::store::{Page, Quarantined};

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
    Quarantined(Box<NoJob>),
    /// The process stops: somebody else shall do it.
    Released,
}

/// A body that is no job.
pub struct NoJob {
    /// Why it is none.
    pub error: ParseError,
    /// The body.
    pub body: String,
}

/// Prints no body: what lines send never reaches a log.
impl fmt::Debug for NoJob {
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
                let message = Message {
                    id: &self.delivery.message_id,
                    sent_at: self.delivery.sent_at,
                    received_at: self.delivery.received_at,
                };
                write_end(page, message, job, account, outcome);
            }
            Finish::Quarantined(no_job) => page.quarantined.push(quarantined(&self.delivery, no_job)),
            Finish::Released => {}
        }
    }
}

/// The message that a job came with.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
    /// When it was received.
    pub received_at: OffsetDateTime,
}

/// Adds how a job ended.
pub fn write_end(page: &mut Page, message: Message<'_>, job: &Job, account: &Account, outcome: &Outcome) {
    let announced = page.announced.entry(job.batch.to_string()).or_default();
    *announced = (*announced).max(job.batch_size);
    page.openings.extend(outcome.parking.as_ref().and_then(opening));
    let row = row(message, job, account, outcome);
    page.authorities.extend(authority(&row, job, outcome));
    page.rows.push(row);
}

fn opening(parking: &Parking) -> Option<(HoldKey, Opening)> {
    Some((parking.hold.clone(), parking.opening.clone()?))
}

fn row(message: Message<'_>, job: &Job, account: &Account, outcome: &Outcome) -> Row {
    let certificate = certificate(job, outcome);
    Row {
        batch: job.batch.to_string(),
        target: job.target.to_string(),
        operation: job.operation(),
        subject: outcome.subject,
        account: account.id.clone(),
        region: account.region.clone(),
        certificate_id: outcome.certificate_id,
        serial: certificate.as_ref().map(|certificate| certificate.serial().to_vec()),
        certificate: certificate.map(|certificate| certificate.der().to_vec()),
        names: Names {
            reference: job.reference.as_ref().map(ToString::to_string),
            source: job.source.as_ref().map(ToString::to_string),
        },
        message_id: message.id.to_owned(),
        end: End {
            code: outcome.code,
            detail: outcome.detail.clone(),
            wanted_status: job.request.wanted_status(),
            known_status: outcome.known_status,
            request: kept_request(job, outcome),
            waits_for: outcome.parking.as_ref().map(|parking| parking.hold.clone()),
            verify: job.verify,
            sent_again_at: None,
            sent_at: message.sent_at,
            received_at: message.received_at,
            ended_at: OffsetDateTime::now_utc(),
        },
        attempts: outcome.attempts.clone(),
        n_attempts: outcome.n_attempts,
        n_duplicates: 0,
        other_names: vec![],
    }
}

/// The certificate of a job, where one could be read. It is read again, as what is called with is text.
fn certificate(job: &Job, outcome: &Outcome) -> Option<Certificate> {
    let id = outcome.certificate_id?;
    chain::with_id(job.request.pem(), id)
}

/// The CA that a job brought in, or that was there. It is read again from the job: that is rare.
fn authority(row: &Row, job: &Job, outcome: &Outcome) -> Option<Authority> {
    let Request::RegisterCaCertificate(request) = &job.request else { return None };
    if !outcome.status().is_good() {
        return None;
    }
    let ca = chain::with_id(&request.ca_certificate, row.certificate_id?)?;
    let is_ours = outcome.status() == Status::Registered;
    Some(Authority {
        account: row.account.clone(),
        region: row.region.clone(),
        certificate_id: ca.id(),
        subject: ca.subject(),
        subject_key: sha256(ca.subject_der()),
        pem: ca.to_pem(),
        mode: is_ours.then(|| request.mode()),
        status: outcome.known_status.filter(|_| is_ours),
        not_before: ca.not_before(),
        not_after: ca.not_after(),
        registered_at: row.end.ended_at,
    })
}

/// The fields of the call, so that a bad end can be sent again; never one that held a private key.
fn kept_request(job: &Job, outcome: &Outcome) -> Option<String> {
    if outcome.status().is_good() || outcome.code == Code::PrivateKey {
        return None;
    }
    let request = serde_json::to_string(&job.request).expect("strings always become JSON");
    // The precheck looks into short texts only, and this costs more than it may.
    let is_secret = outcome.status() == Status::Rejected && pem::hides_private_key(&request);
    (!is_secret).then_some(request)
}

fn quarantined(delivery: &Delivery, no_job: &NoJob) -> Quarantined {
    Quarantined {
        queue: delivery.queue.url().to_owned(),
        message_id: delivery.message_id.clone(),
        reason: no_job.error.code(),
        detail: no_job.error.to_string(),
        body: pem::blank_private_keys(&no_job.body),
        sent_at: delivery.sent_at,
    }
}
