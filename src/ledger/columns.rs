//! Converts rows of `registrations` to columns for a bulk statement, and reads them back.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::row::{End, Names, Row};
use super::{LedgerError, storable, storable_json, word};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::Code;

/// The key of a row as read from the database.
pub(super) type OwnedKey = (String, String, Operation, [u8; 32]);

/// The columns of a row `r` that [`read_row`] needs, and the status under which the row is counted.
pub(super) const ROW: &str =
    "r.batch, r.target, r.operation, r.subject, r.account, r.region, r.certificate_id, r.source, r.ref,
            r.message_id, r.status, r.code, r.detail, r.wanted_status, r.known_status, r.request::text, r.attempts,
            r.n_attempts, r.n_duplicates, r.other_names, r.sent_at, r.received_at, r.ended_at, r.waits_for, r.verify,
            r.sent_again_at, r.serial, r.certificate";

/// Rows as columns of equal length.
#[derive(Default)]
pub(super) struct RowColumns<'a> {
    pub(super) batch: Vec<&'a str>,
    pub(super) target: Vec<&'a str>,
    pub(super) operation: Vec<&'static str>,
    pub(super) subject: Vec<&'a [u8]>,
    pub(super) account: Vec<&'a str>,
    pub(super) region: Vec<&'a str>,
    pub(super) certificate_id: Vec<Option<&'a [u8]>>,
    pub(super) serial: Vec<Option<&'a [u8]>>,
    pub(super) certificate: Vec<Option<&'a [u8]>>,
    pub(super) source: Vec<Option<&'a str>>,
    pub(super) reference: Vec<Option<&'a str>>,
    pub(super) message_id: Vec<&'a str>,
    pub(super) status: Vec<&'static str>,
    pub(super) code: Vec<&'static str>,
    pub(super) detail: Vec<Option<String>>,
    pub(super) wanted_status: Vec<&'static str>,
    pub(super) known_status: Vec<Option<&'static str>>,
    pub(super) request: Vec<Option<&'a str>>,
    pub(super) waits_for: Vec<Option<&'a str>>,
    pub(super) verify: Vec<bool>,
    pub(super) sent_again_at: Vec<Option<OffsetDateTime>>,
    pub(super) attempts: Vec<String>,
    pub(super) n_attempts: Vec<i32>,
    pub(super) n_duplicates: Vec<i32>,
    pub(super) other_names: Vec<String>,
    pub(super) sent_at: Vec<OffsetDateTime>,
    pub(super) received_at: Vec<OffsetDateTime>,
    pub(super) ended_at: Vec<OffsetDateTime>,
}

impl<'a> RowColumns<'a> {
    pub(super) fn of(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut columns = Self::default();
        rows.into_iter().for_each(|row| columns.push(row));
        columns
    }

    fn push(&mut self, row: &'a Row) {
        let (batch, target, operation, subject) = row.key();
        self.batch.push(batch);
        self.target.push(target);
        self.operation.push(operation);
        self.subject.push(subject);
        self.account.push(&row.account);
        self.region.push(&row.region);
        self.certificate_id.push(row.certificate_id.as_ref().map(|id| id.0.as_slice()));
        self.serial.push(row.serial.as_deref());
        // A row without a success keeps its certificate in the request.
        self.certificate.push(row.certificate.as_deref().filter(|_| row.end.status().is_success()));
        self.source.push(row.names.source.as_deref());
        self.reference.push(row.names.reference.as_deref());
        self.message_id.push(&row.message_id);
        self.attempts.push(storable_json(json(&row.attempts)));
        self.n_attempts.push(int(row.n_attempts));
        self.n_duplicates.push(int(row.n_duplicates));
        self.other_names.push(storable_json(json(&row.other_names)));
        self.push_end(&row.end);
    }

    fn push_end(&mut self, end: &'a End) {
        self.status.push(end.status().into());
        self.code.push(end.code.as_str());
        self.detail.push(end.detail.as_deref().map(storable));
        self.wanted_status.push(end.wanted_status.into());
        self.known_status.push(end.known_status.map(Into::into));
        self.request.push(end.request.as_deref());
        self.waits_for.push(end.waits_for.as_ref().map(HoldKey::as_str));
        self.verify.push(end.verify);
        self.sent_again_at.push(end.sent_again_at);
        self.sent_at.push(end.sent_at);
        self.received_at.push(end.received_at);
        self.ended_at.push(end.ended_at);
    }
}

/// Reads one row of `registrations`.
pub(super) fn read_row(row: &PgRow) -> Result<Row, LedgerError> {
    let (batch, target, operation, subject) = owned_key(row)?;
    let attempts: sqlx::types::Json<_> = row.try_get("attempts")?;
    let other_names: sqlx::types::Json<_> = row.try_get("other_names")?;
    Ok(Row {
        batch,
        target,
        operation,
        subject,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        certificate_id: row.try_get::<Option<[u8; 32]>, _>("certificate_id")?.map(CertificateId),
        serial: row.try_get("serial")?,
        certificate: row.try_get("certificate")?,
        names: Names { reference: row.try_get("ref")?, source: row.try_get("source")? },
        message_id: row.try_get("message_id")?,
        end: read_end(row)?,
        attempts: attempts.0,
        n_attempts: count_of(row.try_get("n_attempts")?),
        n_duplicates: count_of(row.try_get("n_duplicates")?),
        other_names: other_names.0,
    })
}

fn read_end(row: &PgRow) -> Result<End, LedgerError> {
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(End {
        code: word::<Code>("code", &row.try_get::<String, _>("code")?)?,
        detail: row.try_get("detail")?,
        wanted_status: word("wanted_status", &row.try_get::<String, _>("wanted_status")?)?,
        known_status: known_status.map(|text| word::<CertificateStatus>("known_status", &text)).transpose()?,
        request: row.try_get("request")?,
        waits_for: row.try_get::<Option<String>, _>("waits_for")?.map(HoldKey::read),
        verify: row.try_get("verify")?,
        sent_again_at: row.try_get("sent_again_at")?,
        sent_at: row.try_get("sent_at")?,
        received_at: row.try_get("received_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

pub(super) fn owned_key(row: &PgRow) -> Result<OwnedKey, LedgerError> {
    let operation: String = row.try_get("operation")?;
    Ok((row.try_get("batch")?, row.try_get("target")?, word("operation", &operation)?, row.try_get("subject")?))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain fields always become JSON")
}

fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn count_of(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}
