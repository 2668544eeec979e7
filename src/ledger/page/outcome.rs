//! Converts the outcome of a job to a row.

use time::OffsetDateTime;

use super::Page;
use crate::ledger::authority::Authority;
use crate::ledger::row::{Names, Row, RowOutcome};
use muster_core::account::Account;
use muster_core::certificate::{Certificate, chain, pem, sha256};
use muster_core::hold::{HoldKey, Opening, Parking};
use muster_core::job::{Job, Request};
use muster_core::outcome::{Code, Outcome, Status};

/// The message that a job arrived in.
#[derive(Clone, Copy, Debug)]
pub struct MessageOrigin<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
    /// When it was received.
    pub received_at: OffsetDateTime,
}

impl Page {
    /// Adds the outcome of a job, and what follows from it: a hold to open, a CA that is now registered.
    pub fn add_outcome(&mut self, message: MessageOrigin<'_>, job: &Job, account: &Account, outcome: &Outcome) {
        let announced = self.announced.entry(job.batch.to_string()).or_default();
        *announced = (*announced).max(job.batch_size);
        self.openings.extend(outcome.parking.as_ref().and_then(opening));
        let row = row(message, job, account, outcome);
        self.authorities.extend(authority(&row, job, outcome));
        self.rows.push(row);
    }
}

fn opening(parking: &Parking) -> Option<(HoldKey, Opening)> {
    Some((parking.hold.clone(), parking.opening.clone()?))
}

fn row(message: MessageOrigin<'_>, job: &Job, account: &Account, outcome: &Outcome) -> Row {
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
        outcome: RowOutcome {
            code: outcome.code,
            detail: outcome.detail.clone(),
            wanted_status: job.request.wanted_status(),
            known_status: outcome.known_status,
            request: kept_request(job, outcome),
            waits_for: outcome.parking.as_ref().map(|parking| parking.hold.clone()),
            verify: job.verify,
            resent_at: None,
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

/// Returns the certificate of a job, if it can be read. It is parsed again, because the request holds text.
fn certificate(job: &Job, outcome: &Outcome) -> Option<Certificate> {
    let id = outcome.certificate_id?;
    chain::with_id(job.request.pem(), id)
}

/// Returns the CA that a job registered, or that was already registered. It is parsed again from the job, which is
/// rare.
fn authority(row: &Row, job: &Job, outcome: &Outcome) -> Option<Authority> {
    let Request::RegisterCaCertificate(request) = &job.request else { return None };
    if !outcome.status().is_success() {
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
        registered_at: row.outcome.ended_at,
    })
}

/// Returns the fields of the AWS call, so that a job without success can be resent. `None` if they hold a private key.
fn kept_request(job: &Job, outcome: &Outcome) -> Option<String> {
    if outcome.status().is_success() || outcome.code == Code::PrivateKey {
        return None;
    }
    let request = serde_json::to_string(&job.request).expect("strings always become JSON");
    // The precheck examines short texts only, and this check is too expensive for it.
    let is_secret = outcome.status() == Status::Rejected && pem::hides_private_key(&request);
    (!is_secret).then_some(request)
}
