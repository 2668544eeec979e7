//! Looks up the rows of one certificate by its id, its serial number or the producer's name for the device: by index,
//! never with a scan of the table.

use std::fmt;
use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use super::columns::{SELECT, read_row};
use super::row::Row;
use super::{Ledger, LedgerError};
use muster_core::certificate::CertificateId;

/// Everything that the ledger has about one row.
#[derive(Clone)]
pub struct CertificateRow {
    /// The row.
    pub row: Row,
    /// When this outcome was written.
    pub recorded_at: OffsetDateTime,
    /// The last replay that chose this row.
    pub replay: Option<i64>,
}

/// Prints neither request nor certificate.
impl fmt::Debug for CertificateRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRow").field("row", &self.row).finish_non_exhaustive()
    }
}

/// What [`read`] reads of a row of the table `r`.
static COLUMNS: LazyLock<String> = LazyLock::new(|| format!("{}, r.recorded_at, r.replay", SELECT.as_str()));

impl Ledger {
    /// Returns at most `n` rows of a certificate: successes by certificate id, all others by subject. For text in which
    /// no certificate can be read, pass its SHA-256.
    pub async fn entries_of_certificate(&self, id: CertificateId, n: u32) -> Result<Vec<CertificateRow>, LedgerError> {
        // Each half repeats an index condition word for word: `known_certificates`, `failures_of_a_certificate`.
        let columns = COLUMNS.as_str();
        let query = format!(
            "-- entries_of_certificate
            select {columns}
            from (
                (
                    select {columns}
                    from registrations r
                    where certificate_id = $1 and status in ('registered', 'already_registered')
                    limit $2
                )
                union all
                (
                    select {columns}
                    from registrations r
                    where subject = $1 and status not in ('registered', 'already_registered')
                    limit $2
                )
            ) as r
            order by batch, target, operation
            limit $2"
        );
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(id.0.as_slice()).bind(i64::from(n));
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }

    /// Returns at most `n` rows of certificates with one of these serial numbers, each in its DER encoding.
    pub async fn entries_of_serial(&self, serials: &[Vec<u8>], n: u32) -> Result<Vec<CertificateRow>, LedgerError> {
        // The index `certificates_by_serial` holds a hash; the second condition excludes hash collisions.
        let columns = COLUMNS.as_str();
        let query = format!(
            "-- entries_of_serial
            select {columns}
            from registrations r
            where hashtextextended(encode(serial, 'hex'), 0) = any(array(
                    select hashtextextended(encode(wanted, 'hex'), 0) from unnest($1::bytea[]) as wanted
                ))
                and serial = any($1)
            limit $2"
        );
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(serials).bind(i64::from(n));
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }

    /// Returns at most `n` rows of devices with this `ref`.
    pub async fn entries_of_ref(&self, reference: &str, n: u32) -> Result<Vec<CertificateRow>, LedgerError> {
        let columns = COLUMNS.as_str();
        let query = format!(
            "-- entries_of_ref
            select {columns}
            from registrations r
            where ref = $1
            limit $2"
        );
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(reference).bind(i64::from(n));
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<CertificateRow, LedgerError> {
    Ok(CertificateRow { row: read_row(row)?, recorded_at: row.try_get("recorded_at")?, replay: row.try_get("replay")? })
}
