//! A row of an export.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::ledger::row::Names;
use crate::ledger::{LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{Attempt, Code, Status};

/// The outcome of one certificate, or why it is parked.
#[derive(Clone, Debug)]
pub struct OutcomeRow {
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// AWS certificate id, if the certificate can be read.
    pub certificate_id: Option<CertificateId>,
    /// Its serial number, big-endian.
    pub serial: Option<Vec<u8>>,
    /// Factory line and the producer's own name for the device, as first sent.
    pub names: Names,
    /// Status of the outcome.
    pub status: Status,
    /// Code of the outcome.
    pub code: Code,
    /// Human-readable details beyond the code.
    pub detail: Option<String>,
    /// Certificate status that the job asked for.
    pub wanted_status: CertificateStatus,
    /// Certificate status at AWS, if Muster set or read it.
    pub known_status: Option<CertificateStatus>,
    /// AWS account id of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// The last AWS calls, oldest first.
    pub attempts: Vec<Attempt>,
    /// Number of AWS calls in total.
    pub n_attempts: u32,
    /// When the message was sent to the queue.
    pub sent_at: OffsetDateTime,
    /// When the message was received.
    pub received_at: OffsetDateTime,
    /// When the job got this outcome.
    pub ended_at: OffsetDateTime,
    /// When this outcome was written.
    pub recorded_at: OffsetDateTime,
    /// Other names that further messages had.
    pub other_names: Vec<Names>,
}

/// A registered certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SuccessRow {
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// AWS account id of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// AWS certificate id.
    pub certificate_id: CertificateId,
}

pub(super) fn read_outcome(row: &PgRow) -> Result<OutcomeRow, LedgerError> {
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(OutcomeRow {
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        certificate_id: row.try_get::<Option<[u8; 32]>, _>("certificate_id")?.map(CertificateId),
        serial: row.try_get("serial")?,
        names: Names { reference: row.try_get("ref")?, source: row.try_get("source")? },
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        detail: row.try_get("detail")?,
        wanted_status: word("wanted_status", &row.try_get::<String, _>("wanted_status")?)?,
        known_status: known_status.map(|text| word("known_status", &text)).transpose()?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        attempts: row.try_get::<Json<_>, _>("attempts")?.0,
        n_attempts: row.try_get::<i32, _>("n_attempts")?.cast_unsigned(),
        sent_at: row.try_get("sent_at")?,
        received_at: row.try_get("received_at")?,
        ended_at: row.try_get("ended_at")?,
        recorded_at: row.try_get("recorded_at")?,
        other_names: row.try_get::<Json<_>, _>("other_names")?.0,
    })
}

pub(super) fn read_success(row: &PgRow) -> Result<SuccessRow, LedgerError> {
    Ok(SuccessRow {
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        certificate_id: CertificateId(row.try_get("certificate_id")?),
    })
}
