//! Reads the ledger's rows for a comparison with AWS (reconciliation).
//!
//! [`listing`] keeps what AWS returned, [`changes`] writes what follows from it, [`repair`] has missing certificates
//! resent. CAs are left out: AWS lists them separately. Only rows recorded before the comparison began are compared.

pub mod changes;
pub mod listing;
pub mod repair;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::columns::{KeyTexts, owned_key};
use super::{Ledger, LedgerError, word};
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{Code, Status};

use listing::ReconcileRun;

/// The key of one row of `registrations`. Its order is the order in which every process locks rows.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DriftKey {
    /// Batch.
    pub batch: String,
    /// Target.
    pub target: String,
    /// Name of the AWS call.
    operation: &'static str,
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
}

/// The set of certificates to read, in the order of their ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CertificateSource {
    /// All certificates of an account and region.
    Account,
    /// One operation of one batch and target.
    Batch(String, String, Operation),
}

/// A certificate that is registered according to the ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegisteredRow {
    /// Its id.
    pub id: CertificateId,
    /// The row was recorded before the comparison began, and AWS has not reported the certificate yet.
    pub is_open: bool,
}

/// A row to be compared with AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ComparedRow {
    /// The row.
    pub key: DriftKey,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// The producer's own name for the device (`ref`).
    pub reference: Option<String>,
    /// Status of the outcome.
    pub status: Status,
    /// Code of the outcome.
    pub code: Code,
    /// Certificate status that the job asked for.
    pub wanted_status: CertificateStatus,
    /// Certificate status at AWS, as far as the ledger knows.
    pub known_status: Option<CertificateStatus>,
    /// The row keeps the certificate.
    pub has_certificate: bool,
    /// The job can be resent and is not yet waiting to be.
    pub is_sendable: bool,
    /// It was recorded, or AWS was called for it, after the comparison began.
    pub is_newer: bool,
    /// Distinguishes this outcome of the row from a later one.
    ended_at: OffsetDateTime,
    /// Shows whether AWS was called for the row since it was read.
    n_attempts: i32,
}

impl DriftKey {
    /// Returns the key as text.
    pub(super) fn texts(&self) -> KeyTexts<'_> {
        (&self.batch, &self.target, self.operation, &self.subject)
    }

    /// Returns the key of a row.
    pub(super) fn of((batch, target, operation, subject): super::columns::OwnedKey) -> Self {
        Self { batch, target, operation: operation.into(), subject }
    }
}

impl Ledger {
    /// Returns up to `n` registered certificates of a source, by id, starting after `after` (keyset pagination).
    pub async fn registered_rows(
        &self,
        run: &ReconcileRun,
        source: &CertificateSource,
        account: &Account,
        after: Option<CertificateId>,
        n: u32,
    ) -> Result<Vec<RegisteredRow>, LedgerError> {
        let (query, batch, target, operation) = match source {
            CertificateSource::Account => (SUCCESSES_OF_ACCOUNT, "", "", ""),
            CertificateSource::Batch(batch, target, operation) => {
                (SUCCESSES_OF_BATCH, batch.as_str(), target.as_str(), <&str>::from(operation))
            }
        };
        // No id is empty: the empty one sorts before all.
        let after = after.as_ref().map_or([].as_slice(), |id| id.0.as_slice());
        self.run(async |db| {
            let query = sqlx::query(query).bind(run.number).bind(run.began_at).bind(&account.id).bind(&account.region);
            let query = query.bind(after).bind(i64::from(n)).bind(batch).bind(target).bind(operation);
            query.fetch_all(db).await?.iter().map(read_success).collect()
        })
        .await
    }

    /// Returns all rows of the given certificates, successes and others.
    pub async fn compared_rows(
        &self,
        run: &ReconcileRun,
        account: &Account,
        ids: &[CertificateId],
    ) -> Result<Vec<ComparedRow>, LedgerError> {
        // Each half repeats an index condition word for word: `known_certificates`, `failures_of_a_certificate`.
        let query = "-- compared_rows
            select batch, target, operation, subject, ref, status, code, wanted_status, known_status, ended_at,
                n_attempts, certificate is not null as has_certificate, false as is_sendable,
                recorded_at >= $2 or coalesce((attempts -> -1 ->> 'at')::timestamptz >= $2, false) as is_newer
            from registrations
            where certificate_id = any($1::bytea[])
                and account = $3 and region = $4
                and operation <> 'RegisterCACertificate'
                and status in ('registered', 'already_registered')
            union all
            select batch, target, operation, subject, ref, status, code, wanted_status, known_status, ended_at,
                n_attempts, false,
                status <> 'parked' and request is not null and waits_for is null and sent_again_at is null,
                recorded_at >= $2
            from registrations
            where subject = any($1::bytea[])
                and account = $3 and region = $4
                and operation <> 'RegisterCACertificate'
                and status not in ('registered', 'already_registered')";
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        self.run(async |db| {
            let query = sqlx::query(query).bind(ids).bind(run.began_at).bind(&account.id).bind(&account.region);
            query.fetch_all(db).await?.iter().map(read_compared).collect()
        })
        .await
    }

    /// Returns the certificates, in DER, that successful rows keep. Rows written by older versions keep none.
    pub async fn kept_certificates(
        &self,
        account: &Account,
        ids: &[CertificateId],
    ) -> Result<Vec<(CertificateId, Vec<u8>)>, LedgerError> {
        let query = "-- kept_certificates
            select distinct on (certificate_id) certificate_id, certificate
            from registrations
            where certificate_id = any($1::bytea[])
                and account = $2 and region = $3
                and operation <> 'RegisterCACertificate'
                and status in ('registered', 'already_registered')
                and certificate is not null
            order by certificate_id";
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        self.run(async |db| {
            let rows = sqlx::query(query).bind(ids).bind(&account.id).bind(&account.region).fetch_all(db).await?;
            let read = |row: &PgRow| Ok((CertificateId(row.try_get("certificate_id")?), row.try_get("certificate")?));
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Returns a registered CA as PEM, if the ledger has it.
    pub async fn authority_pem(&self, account: &Account, id: CertificateId) -> Result<Option<String>, LedgerError> {
        let query = "-- authority_pem
            select pem
            from authorities
            where account = $1 and region = $2 and certificate_id = $3";
        self.run(async |db| {
            let query = sqlx::query_scalar(query).bind(&account.id).bind(&account.region).bind(id.0.as_slice());
            Ok(query.fetch_optional(db).await?)
        })
        .await
    }
}

/// The limit applies before the comparison, so that a page in which AWS listed everything still has an end.
const SUCCESSES_OF_ACCOUNT: &str = "-- successes_of_account
    select certificate_id,
        recorded_at < $2 and not exists (
            select from listed where run = $1 and listed.certificate_id = page.certificate_id
        ) as is_open
    from (
        select certificate_id, recorded_at
        from registrations
        where certificate_id > $5
            and account = $3 and region = $4
            and operation <> 'RegisterCACertificate'
            and status in ('registered', 'already_registered')
            and $7 = '' and $8 = '' and $9 = ''
        order by certificate_id
        limit $6
    ) as page
    order by certificate_id";

/// The same for one batch, by the primary key.
const SUCCESSES_OF_BATCH: &str = "-- successes_of_batch
    select certificate_id,
        recorded_at < $2 and not exists (
            select from listed where run = $1 and listed.certificate_id = page.certificate_id
        ) as is_open
    from (
        select certificate_id, recorded_at
        from registrations
        where batch = $7 and target = $8 and operation = $9 and subject > $5
            and account = $3 and region = $4
            and status in ('registered', 'already_registered')
        order by subject
        limit $6
    ) as page
    order by certificate_id";

fn read_success(row: &PgRow) -> Result<RegisteredRow, LedgerError> {
    Ok(RegisteredRow { id: CertificateId(row.try_get("certificate_id")?), is_open: row.try_get("is_open")? })
}

fn read_compared(row: &PgRow) -> Result<ComparedRow, LedgerError> {
    let key = owned_key(row)?;
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(ComparedRow {
        operation: key.2,
        key: DriftKey::of(key),
        reference: row.try_get("ref")?,
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        wanted_status: word("wanted_status", &row.try_get::<String, _>("wanted_status")?)?,
        known_status: known_status.map(|text| word("known_status", &text)).transpose()?,
        has_certificate: row.try_get("has_certificate")?,
        is_sendable: row.try_get("is_sendable")?,
        is_newer: row.try_get("is_newer")?,
        ended_at: row.try_get("ended_at")?,
        n_attempts: row.try_get("n_attempts")?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of a batch for tests. Its status is known if its code is a success.
    pub(crate) fn compared(batch: &str, code: Code) -> ComparedRow {
        let (operation, is_success) = (Operation::RegisterCertificate, code.status().is_success());
        ComparedRow {
            key: DriftKey::of((batch.into(), "default".into(), operation, [7; 32])),
            operation,
            reference: None,
            status: code.status(),
            code,
            wanted_status: CertificateStatus::Active,
            known_status: is_success.then_some(CertificateStatus::Active),
            has_certificate: is_success,
            is_sendable: !is_success,
            is_newer: false,
            ended_at: OffsetDateTime::UNIX_EPOCH,
            n_attempts: 1,
        }
    }
}
