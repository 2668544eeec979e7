//! A row as it is read out.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::ledger::row::Names;
use crate::ledger::{LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{Attempt, Code, Status};

/// How one certificate ended, or what it is parked for.
#[derive(Clone, Debug)]
pub struct EndRow {
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// AWS's id of the certificate, where one can be read.
    pub certificate_id: Option<CertificateId>,
    /// Its serial number, big-endian.
    pub serial: Option<Vec<u8>>,
    /// Factory line and the line's own name for the device, as first sent.
    pub names: Names,
    /// How it ended.
    pub status: Status,
    /// Why it ended so.
    pub code: Code,
    /// What a person needs beyond the code.
    pub detail: Option<String>,
    /// Certificate status that the job asked for.
    pub wanted_status: CertificateStatus,
    /// Certificate status at AWS, when it was we who set it.
    pub known_status: Option<CertificateStatus>,
    /// AWS account id of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// The last calls, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many calls were made in all.
    pub n_attempts: u32,
    /// When the message was sent to the queue.
    pub sent_at: OffsetDateTime,
    /// When it was received.
    pub received_at: OffsetDateTime,
    /// When the job ended.
    pub ended_at: OffsetDateTime,
    /// When this end was written.
    pub recorded_at: OffsetDateTime,
    /// Other names that further messages gave.
    pub other_names: Vec<Names>,
}

/// The certificate of a good end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GoodEnd {
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// AWS account id of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// AWS's id of the certificate.
    pub certificate_id: CertificateId,
}

pub(super) fn read_end(row: &PgRow) -> Result<EndRow, LedgerError> {
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(EndRow {
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

pub(super) fn read_good(row: &PgRow) -> Result<GoodEnd, LedgerError> {
    Ok(GoodEnd {
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        certificate_id: CertificateId(row.try_get("certificate_id")?),
    })
}
