//! Updates the status of a CA from AWS: a change made outside Muster does not reach the ledger by itself.

use super::{Authority, read_authority, release_issuers};
use crate::ledger::{Ledger, LedgerError};
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateMode, CertificateStatus};

/// What AWS reports about a CA that the ledger has.
#[derive(Clone, Debug)]
pub struct LearntStatus<'a> {
    /// Account and region of the CA.
    pub account: &'a Account,
    /// AWS certificate id of the CA.
    pub id: CertificateId,
    /// Its status. `None`: AWS no longer has the CA.
    pub status: Option<CertificateStatus>,
    /// Its mode. `None`: the mode in the ledger stays.
    pub mode: Option<CertificateMode>,
}

impl Ledger {
    /// Writes the status that AWS reports for a CA. Returns whether the ledger had another status. Does not add a CA
    /// that the ledger does not have.
    pub async fn note_ca_status(&self, learnt: &LearntStatus<'_>) -> Result<bool, LedgerError> {
        let update = "-- note_ca_status
            with was as (
                select status
                from authorities
                where account = $1 and region = $2 and certificate_id = $3
                for update
            )
            update authorities a
            set status = $4, mode = coalesce($5, a.mode)
            from was
            where a.account = $1 and a.region = $2 and a.certificate_id = $3
                and (a.status is distinct from $4 or a.mode is distinct from coalesce($5, a.mode))
            returning was.status is distinct from a.status as is_changed";
        let LearntStatus { account, id, status, mode } = learnt;
        let changed: Option<bool> = self
            .run(async |db| {
                let query = sqlx::query_scalar(update).bind(&account.id).bind(&account.region).bind(id.0.as_slice());
                let query = query.bind(status.map(<&str>::from)).bind(mode.map(<&str>::from));
                Ok(query.fetch_optional(db).await?)
            })
            .await?;
        Ok(changed.unwrap_or(false))
    }

    /// Releases the holds on the certificates of an active CA, so that their jobs are resent.
    pub async fn release_ca(&self, account: &Account, id: CertificateId) -> Result<(), LedgerError> {
        let query = "-- release_ca
            select account, region, certificate_id, subject, subject_key, pem, mode, status, not_before, not_after,
                registered_at
            from authorities
            where account = $1 and region = $2 and certificate_id = $3";
        self.run(async |db| {
            let found = sqlx::query(query).bind(&account.id).bind(&account.region).bind(id.0.as_slice());
            let Some(row) = found.fetch_optional(&mut *db).await? else { return Ok(()) };
            let active = Authority { status: Some(CertificateStatus::Active), ..read_authority(&row)? };
            release_issuers(db, &[active]).await
        })
        .await
    }
}
