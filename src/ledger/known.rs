//! Finds certificates that are already registered, so that no AWS call is spent on them.

use std::collections::HashMap;

use sqlx::Row as _;

use super::{Ledger, LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateStatus, Operation};

/// The certificates that are registered, each with its status at AWS, if the ledger knows it.
pub type KnownCertificates = HashMap<CertificateId, Option<CertificateStatus>>;

impl Ledger {
    /// Returns which of the given certificates are registered in one account and region, by any batch.
    ///
    /// For the operation that registers CAs this searches among CAs, otherwise among devices of all their operations.
    /// The same certificate may be both.
    pub async fn known(
        &self,
        account: &str,
        region: &str,
        operation: Operation,
        ids: &[CertificateId],
    ) -> Result<KnownCertificates, LedgerError> {
        if ids.is_empty() {
            return Ok(KnownCertificates::new());
        }
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        self.run(async |db| {
            let rows = sqlx::query(
                "-- known
                select certificate_id, max(known_status) as known_status
                from registrations
                where certificate_id = any($1::bytea[])
                    and account = $2 and region = $3
                    and (operation = 'RegisterCACertificate') = $4
                    and status in ('registered', 'already_registered')
                group by certificate_id",
            )
            .bind(ids)
            .bind(account)
            .bind(region)
            .bind(operation.is_of_ca())
            .fetch_all(&mut *db)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &sqlx::postgres::PgRow) -> Result<(CertificateId, Option<CertificateStatus>), LedgerError> {
    let status: Option<String> = row.try_get("known_status")?;
    let status = status.map(|text| word("known_status", &text)).transpose()?;
    Ok((CertificateId(row.try_get("certificate_id")?), status))
}
