//! One row of the ledger, and how a later outcome is merged into an earlier one. Pure: no I/O.
//!
//! The invariant: a success never turns into a failure, in whatever order outcomes arrive.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{ATTEMPTS_KEPT, Attempt, Code, Status};

/// Most further names that a row keeps.
const NAMES_KEPT: usize = 10;

/// The outcome of one (batch, target, operation, subject).
#[derive(Clone, PartialEq)]
pub struct Row {
    /// Batch that the job named.
    pub batch: String,
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
    /// AWS account id of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// AWS certificate id, if the certificate can be read.
    pub certificate_id: Option<CertificateId>,
    /// Its serial number, big-endian.
    pub serial: Option<Vec<u8>>,
    /// The certificate in DER. Only a success keeps it.
    pub certificate: Option<Vec<u8>>,
    /// Factory line and the producer's own name for the device, as first sent.
    pub names: Names,
    /// `MessageId` of the first message, or of the one that resent the job.
    pub message_id: String,
    /// The outcome, or why the job is parked.
    pub outcome: RowOutcome,
    /// The last AWS calls, oldest first.
    pub attempts: Vec<Attempt>,
    /// Number of AWS calls in total.
    pub n_attempts: usize,
    /// Number of deliveries of other messages that were merged into this row.
    pub n_duplicates: usize,
    /// Other names that further messages had.
    pub other_names: Vec<Names>,
}

/// The producer's names for a job.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Names {
    /// The producer's own name for the device.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    /// The factory line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
}

/// The part of a row that the winning message sets.
#[derive(Clone, PartialEq)]
pub struct RowOutcome {
    /// Code of the outcome; the status follows from it.
    pub code: Code,
    /// Human-readable details beyond the code.
    pub detail: Option<String>,
    /// Certificate status that the job asked for.
    pub wanted_status: CertificateStatus,
    /// Certificate status at AWS, if Muster set or read it.
    pub known_status: Option<CertificateStatus>,
    /// The fields of the AWS call as JSON, kept without a success.
    pub request: Option<String>,
    /// The hold that must be released before the job is resent.
    pub waits_for: Option<HoldKey>,
    /// Whether the job skips the lookup of registered certificates, so that AWS itself answers.
    pub verify: bool,
    /// When the job was resent after this outcome.
    pub resent_at: Option<OffsetDateTime>,
    /// When the message was sent to the queue.
    pub sent_at: OffsetDateTime,
    /// When the message was received.
    pub received_at: OffsetDateTime,
    /// When the job got this outcome.
    pub ended_at: OffsetDateTime,
}

/// Prints no request: a PEM body never reaches a log.
impl fmt::Debug for RowOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowOutcome").field("code", &self.code).field("detail", &self.detail).finish_non_exhaustive()
    }
}

impl RowOutcome {
    /// Returns the status that follows from the code.
    pub fn status(&self) -> Status {
        self.code.status()
    }

    /// Returns whether the registered certificate has another status at AWS than was requested, or an unknown one.
    pub fn status_differs(&self) -> bool {
        self.status().is_success() && self.known_status != Some(self.wanted_status)
    }

    /// Returns whether this outcome replaces an earlier one: the higher rank wins; at rank 1, the later outcome wins.
    fn wins_over(&self, earlier: &Self) -> bool {
        let (new, old) = (self.status().rank(), earlier.status().rank());
        new > old || (new == old && !self.status().is_success())
    }
}

/// The primary key. A batch counts each key as one certificate.
pub type RowKey<'a> = (&'a str, &'a str, &'static str, &'a [u8; 32]);

/// Prints neither request nor certificate.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("key", &self.key()).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Row {
    /// Returns the primary key. Every process inserts and locks rows in its order.
    pub fn key(&self) -> RowKey<'_> {
        (&self.batch, &self.target, self.operation.into(), &self.subject)
    }

    /// Merges a later outcome of the same key.
    pub fn absorb(&mut self, later: Self) {
        debug_assert_eq!(self.key(), later.key());
        self.n_duplicates += later.n_duplicates;
        // The same message again is a redelivery, not a duplicate.
        if later.message_id != self.message_id {
            self.note_other_message(later.message_id);
        }
        self.serial = self.serial.take().or(later.serial);
        self.certificate = self.certificate.take().or(later.certificate);
        self.remember(later.names);
        later.other_names.into_iter().for_each(|names| self.remember(names));
        self.n_attempts += later.n_attempts;
        self.attempts.extend(later.attempts);
        self.attempts.drain(..self.attempts.len().saturating_sub(ATTEMPTS_KEPT));
        if later.outcome.wins_over(&self.outcome) {
            self.outcome = later.outcome;
        }
    }

    /// Records a message other than the one of this row: Muster's own if the job was resent, otherwise a duplicate.
    fn note_other_message(&mut self, id: String) {
        if self.outcome.resent_at.is_some() {
            self.message_id = id;
        } else {
            self.n_duplicates += 1;
        }
    }

    /// Keeps names that are new to this row.
    fn remember(&mut self, names: Names) {
        let is_new = names != Names::default() && names != self.names && !self.other_names.contains(&names);
        if is_new && self.other_names.len() < NAMES_KEPT {
            self.other_names.push(names);
        }
    }
}

/// Sorts rows by key and merges the rows of each key, in the order in which they arrived.
pub fn fold(rows: &[Row]) -> Vec<Cow<'_, Row>> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| row.key());
    let mut folded: Vec<Cow<'_, Row>> = Vec::with_capacity(rows.len());
    for row in sorted {
        match folded.last_mut() {
            Some(last) if last.key() == row.key() => last.to_mut().absorb(row.clone()),
            _ => folded.push(Cow::Borrowed(row)),
        }
    }
    folded
}

#[cfg(test)]
pub(crate) mod tests {
    use strum::VariantArray;

    use super::*;

    /// A row of batch `b` for tests.
    pub(crate) fn row(subject: u8, code: Code) -> Row {
        let is_success = code.status().is_success();
        let attempt = Attempt { at: OffsetDateTime::UNIX_EPOCH, result: "ok".into(), request_id: None, ms: 1 };
        let attempts = if code.status() == Status::Registered { vec![attempt] } else { vec![] };
        Row {
            batch: "b".into(),
            target: "default".into(),
            operation: Operation::RegisterCertificate,
            subject: [subject; 32],
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            certificate_id: Some(CertificateId([subject; 32])),
            serial: Some(vec![subject]),
            certificate: is_success.then(|| vec![0x30, subject]),
            names: Names { reference: Some(format!("SN-{subject}")), source: Some("line".into()) },
            message_id: format!("m-{subject}"),
            n_attempts: attempts.len(),
            attempts,
            n_duplicates: 0,
            other_names: vec![],
            outcome: RowOutcome {
                code,
                detail: None,
                wanted_status: CertificateStatus::Active,
                known_status: is_success.then_some(CertificateStatus::Active),
                request: (!is_success).then(|| "{}".into()),
                waits_for: None,
                verify: false,
                resent_at: None,
                sent_at: OffsetDateTime::UNIX_EPOCH,
                received_at: OffsetDateTime::UNIX_EPOCH,
                ended_at: OffsetDateTime::UNIX_EPOCH,
            },
        }
    }

    #[test]
    fn the_outcome_of_higher_rank_wins() {
        for &first in Code::VARIANTS {
            for &second in Code::VARIANTS {
                let mut merged = row(1, first);
                merged.absorb(row(1, second));
                let best = first.status().rank().max(second.status().rank());
                assert_eq!(merged.outcome.status().rank(), best, "{first} then {second}");
            }
        }
    }

    #[test]
    fn the_later_of_two_failures_wins() {
        let mut merged = row(1, Code::ServerError);
        merged.absorb(row(1, Code::Expired));
        assert_eq!(merged.outcome.code, Code::Expired);
    }

    #[test]
    fn the_first_of_two_equal_successes_wins() {
        let mut merged = row(1, Code::Ok);
        merged.absorb(row(1, Code::AnswerLost));
        assert_eq!(merged.outcome.code, Code::Ok);
    }

    #[test]
    fn a_redelivery_is_not_a_duplicate_but_another_message_is() {
        let mut merged = row(1, Code::Ok);
        merged.absorb(row(1, Code::Known));
        assert_eq!(merged.n_duplicates, 0);
        merged.absorb(Row { message_id: "other".into(), ..row(1, Code::Known) });
        assert_eq!(merged.n_duplicates, 1);
    }

    #[test]
    fn another_name_for_the_device_is_kept_once() {
        let other = Names { reference: Some("SN-other".into()), source: None };
        let mut merged = row(1, Code::Ok);
        for _ in 0..2 {
            merged.absorb(Row { names: other.clone(), ..row(1, Code::Known) });
        }
        assert_eq!(merged.other_names, [other]);
    }

    #[test]
    fn the_last_ten_attempts_are_kept_and_all_are_counted() {
        let mut merged = row(1, Code::Ok);
        for _ in 0..15 {
            merged.absorb(row(1, Code::Ok));
        }
        assert_eq!((merged.attempts.len(), merged.n_attempts), (10, 16));
    }

    #[test]
    fn folding_sorts_by_key_and_merges_equal_keys() {
        let rows = vec![row(3, Code::Ok), row(1, Code::Expired), row(3, Code::Known), row(1, Code::Ok)];
        let folded = fold(&rows);
        let outcomes: Vec<_> = folded.iter().map(|row| (row.subject[0], row.outcome.code)).collect();
        assert_eq!(outcomes, [(1, Code::Ok), (3, Code::Ok)]);
    }
}
