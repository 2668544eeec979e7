//! Failures: grouped by code over all batches, and one by one within a batch.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::{Ledger, LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::job::{Name, Operation};
use muster_core::outcome::{Code, Status};

/// The failures of all batches with one code.
#[derive(Clone, Debug)]
pub struct FailureTotal {
    /// Their status.
    pub status: Status,
    /// Their code.
    pub code: Code,
    /// How many there are.
    pub n: u64,
    /// In how many batches.
    pub n_batches: u64,
    /// When the last of them was recorded.
    pub last_at: OffsetDateTime,
    /// The batch that it belongs to.
    pub batch: String,
}

/// One failed or parked certificate.
#[derive(Clone, Debug)]
pub struct FailedRow {
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    pub subject: CertificateId,
    /// Whether `subject` is a certificate id.
    pub is_certificate: bool,
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// Factory line that sent it first.
    pub source: Option<String>,
    /// The producer's own name for the device (`ref`).
    pub reference: Option<String>,
    /// Its status.
    pub status: Status,
    /// Human-readable details beyond the code.
    pub detail: Option<String>,
    /// Number of AWS calls in total.
    pub n_attempts: u32,
    /// When it was recorded.
    pub recorded_at: OffsetDateTime,
    /// When it was resent, if it has no outcome since.
    pub resent_at: Option<OffsetDateTime>,
}

/// The position of a row among the failures of a batch with one code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailurePosition {
    /// Its subject.
    pub subject: CertificateId,
    /// Its target.
    pub target: String,
    /// Its operation.
    pub operation: Operation,
}

impl FailedRow {
    /// Returns the position of the row.
    pub fn position(&self) -> FailurePosition {
        FailurePosition { subject: self.subject, target: self.target.clone(), operation: self.operation }
    }
}

impl Ledger {
    /// Returns the failures of all batches by code, the most frequent first, of batches with a failure recorded at
    /// `since` or later. Reads counters only, by the index `failed_counters`.
    pub async fn failure_totals(&self, since: Option<OffsetDateTime>) -> Result<Vec<FailureTotal>, LedgerError> {
        let query = "-- failure_totals
            select status, code, sum(n)::bigint as n, count(distinct batch) as n_batches, max(last_at) as last_at,
                (array_agg(batch order by last_at desc))[1] as batch
            from batch_counters
            where status in ('rejected', 'refused', 'exhausted', 'gone') and n > 0
                and ($1::timestamptz is null or last_at >= $1)
            group by status, code
            order by n desc, code";
        self.run(async |db| sqlx::query(query).bind(since).fetch_all(db).await?.iter().map(read_total).collect()).await
    }

    /// Lists up to `n` failed or parked certificates of a batch with one code, after a position (keyset pagination).
    pub async fn failed_rows(
        &self,
        batch: &Name,
        code: Code,
        after: Option<&FailurePosition>,
        n: u32,
    ) -> Result<Vec<FailedRow>, LedgerError> {
        // By the index `failures`: the query must repeat its condition word for word.
        let query = "-- failed_rows
            select subject, certificate_id is not null as is_certificate, target, operation, source, ref, status,
                detail, n_attempts, recorded_at, sent_again_at
            from registrations
            where batch = $1 and code = $2 and status not in ('registered', 'already_registered')
                and (subject, target, operation) > ($3, $4, $5)
            order by subject, target, operation
            limit $6";
        let (subject, target, operation) = after.map_or(([].as_slice(), "", ""), |after| {
            (after.subject.0.as_slice(), after.target.as_str(), after.operation.into())
        });
        self.run(async |db| {
            let query = sqlx::query(query).bind(batch.as_str()).bind(code.as_str());
            let query = query.bind(subject).bind(target).bind(operation).bind(i64::from(n));
            query.fetch_all(db).await?.iter().map(read_row).collect()
        })
        .await
    }
}

fn read_total(row: &PgRow) -> Result<FailureTotal, LedgerError> {
    Ok(FailureTotal {
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        n: row.try_get::<i64, _>("n")?.cast_unsigned(),
        n_batches: row.try_get::<i64, _>("n_batches")?.cast_unsigned(),
        last_at: row.try_get("last_at")?,
        batch: row.try_get("batch")?,
    })
}

fn read_row(row: &PgRow) -> Result<FailedRow, LedgerError> {
    Ok(FailedRow {
        subject: CertificateId(row.try_get("subject")?),
        is_certificate: row.try_get("is_certificate")?,
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        source: row.try_get("source")?,
        reference: row.try_get("ref")?,
        status: word("status", &row.try_get::<String, _>("status")?)?,
        detail: row.try_get("detail")?,
        n_attempts: row.try_get::<i32, _>("n_attempts")?.cast_unsigned(),
        recorded_at: row.try_get("recorded_at")?,
        resent_at: row.try_get("sent_again_at")?,
    })
}
