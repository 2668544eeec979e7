//! What the ledger says of the certificates that AWS was asked for, so that the two can be compared.
//!
//! [`listing`] keeps what AWS said, [`changes`] writes what follows from it, [`repair`] has what is missing sent again. CAs
//! are left out: AWS lists them apart. Only rows that were there when the comparison began are held against AWS.

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

/// Names one row of `registrations`. The order is the one in which everybody locks rows.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DriftKey {
    /// Batch.
    pub batch: String,
    /// Target.
    pub target: String,
    /// AWS call, by its name.
    operation: &'static str,
    /// Certificate id, or SHA-256 of the PEM text where no certificate can be read.
    pub subject: [u8; 32],
}

/// Where certificates are read in the order of their ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CertificateSource {
    /// All of an account and region.
    Account,
    /// One operation of one batch and target.
    Batch(String, String, Operation),
}

/// A certificate with a good row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GoodCertificate {
    /// Its id.
    pub id: CertificateId,
    /// The row was there when the comparison began, and AWS has said nothing of the certificate yet.
    pub is_open: bool,
}

/// A row of a certificate that AWS was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ComparedRow {
    /// The row.
    pub key: DriftKey,
    /// AWS call that the job asked for.
    pub operation: Operation,
    /// The line's own name for the device.
    pub reference: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it ended so.
    pub code: Code,
    /// Certificate status that the job asked for.
    pub wanted_status: CertificateStatus,
    /// Certificate status at AWS, as far as the ledger knows.
    pub known_status: Option<CertificateStatus>,
    /// The row keeps the certificate.
    pub has_certificate: bool,
    /// The job can be sent again, and does not wait for that yet.
    pub is_sendable: bool,
    /// It was written, or AWS was called for it, after the comparison began.
    pub is_newer: bool,
    /// Tells this end of the row from a later one.
    ended_at: OffsetDateTime,
    /// Tells whether AWS was called for it since.
    n_attempts: i32,
}

impl DriftKey {
    /// The key of the row that it names.
    pub(super) fn texts(&self) -> KeyTexts<'_> {
        (&self.batch, &self.target, self.operation, &self.subject)
    }

    /// Names a row.
    pub(super) fn of((batch, target, operation, subject): super::columns::OwnedKey) -> Self {
        Self { batch, target, operation: operation.into(), subject }
    }
}

impl Ledger {
    /// Reads `n` rows' certificates of a lane that are in, in the order of their ids, from behind `after` on.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn good_certificates(
        &self,
        run: &ReconcileRun,
        lane: &CertificateSource,
        account: &Account,
        after: Option<CertificateId>,
        n: u32,
    ) -> Result<Vec<GoodCertificate>, LedgerError> {
        let (query, batch, target, operation) = match lane {
            CertificateSource::Account => (GOOD_OF_ACCOUNT, "", "", ""),
            CertificateSource::Batch(batch, target, operation) => {
                (GOOD_OF_BATCH, batch.as_str(), target.as_str(), <&str>::from(operation))
            }
        };
        // No id is empty: this comes before all.
        let after = after.as_ref().map_or([].as_slice(), |id| id.0.as_slice());
        self.run(async |db| {
            let query = sqlx::query(query).bind(run.number).bind(run.began_at).bind(&account.id).bind(&account.region);
            let query = query.bind(after).bind(i64::from(n)).bind(batch).bind(target).bind(operation);
            query.fetch_all(db).await?.iter().map(read_good).collect()
        })
        .await
    }

    /// Reads the rows of certificates, good ends and others.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn compared_rows(
        &self,
        run: &ReconcileRun,
        account: &Account,
        ids: &[CertificateId],
    ) -> Result<Vec<ComparedRow>, LedgerError> {
        // Each half has the condition of an index word for word: `known_certificates`, `failures_of_a_certificate`.
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

    /// Reads the certificates that good rows keep, in DER; those of older versions keep none.
    ///
    /// # Errors
    /// What the server or the connection met.
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

    /// Reads a CA that the ledger knows to be registered, as PEM.
    ///
    /// # Errors
    /// What the server or the connection met.
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

/// A page is cut before it is compared: one in which everything was listed must end too.
const GOOD_OF_ACCOUNT: &str = "-- good_of_account
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

/// The same, by the primary key.
const GOOD_OF_BATCH: &str = "-- good_of_batch
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

fn read_good(row: &PgRow) -> Result<GoodCertificate, LedgerError> {
    Ok(GoodCertificate { id: CertificateId(row.try_get("certificate_id")?), is_open: row.try_get("is_open")? })
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

    /// A row of a batch as a test needs it; its status is known where it is good.
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
