//! The CAs that the ledger knows to be registered, and those whose registration failed.
//!
//! A CA is written in the same transaction as its row in `registrations`. Once it is registered and active, the holds
//! of its certificates are released right after the commit, without waiting for the next probe.

mod report;
mod status;

use std::collections::BTreeMap;
use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;

use super::{Ledger, LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{CertificateMode, CertificateStatus, Name};

pub use report::{AuthorityReport, FAILED_MAX, FailedAuthority};
pub use status::LearntStatus;

/// Maximum number of CAs with one name that a message lists: AWS accepts no more than that with one name.
const LISTED_MAX: usize = 10;

/// A CA that is registered in an account and region.
#[derive(Clone, Eq, PartialEq)]
pub struct Authority {
    /// AWS account id.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// AWS certificate id of the CA.
    pub certificate_id: CertificateId,
    /// Its subject, as human-readable text.
    pub subject: String,
    /// SHA-256 of the DER of its name: the issuer key of the certificates it signed.
    pub subject_key: [u8; 32],
    /// Its certificate, as PEM.
    pub pem: String,
    /// Its mode, if Muster registered it or AWS reported it.
    pub mode: Option<CertificateMode>,
    /// Its status at AWS when Muster last set or read it.
    pub status: Option<CertificateStatus>,
    /// The first second of its validity.
    pub not_before: OffsetDateTime,
    /// The last second of its validity.
    pub not_after: OffsetDateTime,
    /// When Muster registered it; for a CA that was already registered, when Muster first learned of it.
    pub registered_at: OffsetDateTime,
}

/// Lists the ids of CAs that share a name, at most ten.
pub fn list_ids(authorities: &[Authority]) -> String {
    let ids: Vec<_> =
        authorities.iter().take(LISTED_MAX).map(|authority| authority.certificate_id.to_string()).collect();
    ids.join(", ")
}

/// Prints no certificate: a PEM body never reaches a log.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Authority");
        shown.field("certificate_id", &self.certificate_id).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Authority {
    /// Returns the primary key. Every process writes CAs in this order.
    fn key(&self) -> (&str, &str, CertificateId) {
        (&self.account, &self.region, self.certificate_id)
    }

    /// Merges a later record of the same CA. A known status stays until a newer one is known.
    fn absorb(&mut self, later: &Self) {
        if later.status.is_some() && (self.status.is_none() || later.registered_at > self.registered_at) {
            (self.status, self.mode, self.registered_at) = (later.status, later.mode, later.registered_at);
        }
    }
}

impl Ledger {
    /// Returns the CAs with one name that are registered in an account and region, in the order of their registration.
    ///
    /// The key is the [`muster_core::precheck::CheckedCertificate::issuer_key`] of the certificates they signed.
    pub async fn authorities_named(
        &self,
        account: &str,
        region: &str,
        subject_key: [u8; 32],
    ) -> Result<Vec<Authority>, LedgerError> {
        let query = "-- authorities_named
            select account, region, certificate_id, subject, subject_key, pem, mode, status, not_before, not_after,
                registered_at
            from authorities
            where account = $1 and region = $2 and subject_key = $3
            order by registered_at, certificate_id";
        self.run(async |db| {
            let query = sqlx::query(query).bind(account).bind(region).bind(subject_key.as_slice());
            query.fetch_all(db).await?.iter().map(read_authority).collect()
        })
        .await
    }
}

/// Writes the CAs of a page, each once, in key order.
pub(super) async fn write_authorities(db: &mut PgConnection, authorities: &[Authority]) -> Result<(), LedgerError> {
    if authorities.is_empty() {
        return Ok(());
    }
    let authorities = fold(authorities);
    let authorities = || authorities.values();
    sqlx::query(
        "-- write_authorities
        insert into authorities as a (
            account, region, certificate_id, subject, subject_key, pem, mode, status, not_before, not_after,
            registered_at
        )
        select *
        from unnest(
            $1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[]
        )
        on conflict (account, region, certificate_id) do update
        set mode = excluded.mode, status = excluded.status, registered_at = excluded.registered_at
        where excluded.status is not null
            and (a.status is null or excluded.registered_at > a.registered_at)",
    )
    .bind(authorities().map(|its| its.account.as_str()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.region.as_str()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.certificate_id.0.as_slice()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.subject.as_str()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.subject_key.as_slice()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.pem.as_str()).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.mode.map(<&str>::from)).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.status.map(<&str>::from)).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.not_before).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.not_after).collect::<Vec<_>>())
    .bind(authorities().map(|its| its.registered_at).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Returns each CA once, in key order.
fn fold(authorities: &[Authority]) -> BTreeMap<(&str, &str, CertificateId), Authority> {
    let mut folded: BTreeMap<_, Authority> = BTreeMap::new();
    for authority in authorities {
        let seen = folded.entry(authority.key()).or_insert_with(|| authority.clone());
        seen.absorb(authority);
    }
    folded
}

/// Releases the holds of certificates whose CA was registered as active, after that is committed.
pub(super) async fn release_issuers(db: &mut PgConnection, authorities: &[Authority]) -> Result<(), LedgerError> {
    let mut holds = Vec::new();
    for authority in authorities.iter().filter(|its| its.status == Some(CertificateStatus::Active)) {
        let targets = targets_of(db, authority).await?;
        holds.extend(targets.iter().map(|target| HoldKey::issuer(target, authority.subject_key)));
    }
    if holds.is_empty() {
        return Ok(());
    }
    let update = "-- release_issuers
        with held as (
            select hold
            from holds
            where hold = any($1::text[]) and released_at is null
            order by hold collate \"C\"
            for update
        )
        update holds h
        set released_at = clock_timestamp()
        from held
        where h.hold = held.hold";
    sqlx::query(update).bind(holds.iter().map(HoldKey::as_str).collect::<Vec<_>>()).execute(db).await?;
    Ok(())
}

/// Returns the names of the targets in which a CA is registered.
async fn targets_of(db: &mut PgConnection, authority: &Authority) -> Result<Vec<Name>, LedgerError> {
    let query = "-- targets_of
        select target
        from targets
        where account = $1 and region = $2";
    let names = sqlx::query_scalar(query).bind(&authority.account).bind(&authority.region).fetch_all(db).await?;
    // A target without a valid name is skipped: no job can name it, so nothing waits for it.
    Ok(names.iter().filter_map(|name: &String| name.parse().ok()).collect())
}

fn read_authority(row: &PgRow) -> Result<Authority, LedgerError> {
    let (mode, status): (Option<String>, Option<String>) = (row.try_get("mode")?, row.try_get("status")?);
    Ok(Authority {
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        certificate_id: CertificateId(row.try_get("certificate_id")?),
        subject: row.try_get("subject")?,
        subject_key: row.try_get("subject_key")?,
        pem: row.try_get("pem")?,
        mode: mode.map(|text| word("mode", &text)).transpose()?,
        status: status.map(|text| word("status", &text)).transpose()?,
        not_before: row.try_get("not_before")?,
        not_after: row.try_get("not_after")?,
        registered_at: row.try_get("registered_at")?,
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const LATER: OffsetDateTime = datetime!(2026-11-21 10:00 UTC);

    fn authority(n: u8, status: Option<CertificateStatus>) -> Authority {
        Authority {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            certificate_id: CertificateId([n; 32]),
            subject: "CN=Plant CA".into(),
            subject_key: [9; 32],
            pem: String::new(),
            mode: status.map(|_| CertificateMode::Default),
            status,
            not_before: OffsetDateTime::UNIX_EPOCH,
            not_after: OffsetDateTime::UNIX_EPOCH,
            registered_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_known_status_stays_until_a_newer_one_is_known() {
        use CertificateStatus::{Active, Inactive};
        let newer = |its| Authority { registered_at: LATER, ..its };
        for (first, then, wanted) in [
            (authority(1, None), authority(1, Some(Active)), Some(Active)),
            (authority(1, Some(Active)), newer(authority(1, None)), Some(Active)),
            (authority(1, Some(Active)), newer(authority(1, Some(Inactive))), Some(Inactive)),
            (newer(authority(1, Some(Active))), authority(1, Some(Inactive)), Some(Active)),
        ] {
            let folded = fold(&[first, then]).into_values().next().unwrap();
            assert_eq!((folded.status, folded.mode), (wanted, Some(CertificateMode::Default)));
        }
    }

    #[test]
    fn at_most_ten_cas_are_listed() {
        let several: Vec<_> = (0..11).map(|n| authority(n, None)).collect();
        let named = list_ids(&several);
        assert_eq!((list_ids(&several[..0]).as_str(), named.split(", ").count()), ("", 10));
        assert!(named.starts_with(&"00".repeat(32)) && named.ends_with(&"09".repeat(32)), "{named}");
    }
}
