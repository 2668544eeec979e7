//! The CAs as operators see them: those that are registered, with the jobs that wait for them, and those that failed.

use std::collections::HashMap;
use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;

use super::{Authority, read_authority};
use crate::ledger::hold::COUNTED_MAX;
use crate::ledger::{Ledger, LedgerError, word};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{Name, Operation, Request};
use muster_core::outcome::Code;

/// Maximum number of failed CAs in a listing.
pub const FAILED_MAX: u64 = 1000;

/// A registered CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorityReport {
    /// The CA.
    pub authority: Authority,
    /// The targets with its account and region, in order of their names.
    pub targets: Vec<Name>,
    /// How many jobs wait for it to be active, counted up to [`COUNTED_MAX`] for each target.
    pub n_waiting: u64,
}

/// A CA with a failed job that no other job registered.
#[derive(Clone, Eq, PartialEq)]
pub struct FailedAuthority {
    /// The target that the job named.
    pub target: String,
    /// The batch that the job named.
    pub batch: String,
    /// AWS certificate id of the CA, if its certificate can be read.
    pub certificate_id: Option<CertificateId>,
    /// Its subject, as human-readable text, if the job's request was kept and can be read.
    pub subject: Option<String>,
    /// Why the job failed.
    pub code: Code,
    /// Human-readable details beyond the code.
    pub detail: Option<String>,
    /// When the job failed.
    pub ended_at: OffsetDateTime,
}

/// Prints no text from outside.
impl fmt::Debug for FailedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FailedAuthority");
        shown.field("certificate_id", &self.certificate_id).field("code", &self.code).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Lists the registered CAs, in the order of their registration.
    pub async fn authority_reports(&self) -> Result<Vec<AuthorityReport>, LedgerError> {
        let query = "-- authority_reports
            select account, region, certificate_id, subject, subject_key, pem, mode, status, not_before, not_after,
                registered_at, array(
                    select target
                    from targets t
                    where (t.account, t.region) = (a.account, a.region)
                    order by target
                ) as targets
            from authorities a
            order by registered_at, account, region, certificate_id";
        self.run(async |db| {
            let rows = sqlx::query(query).fetch_all(&mut *db).await?;
            let mut reports = rows.iter().map(read_report).collect::<Result<Vec<_>, _>>()?;
            let waiting = count_waiting(db, &reports).await?;
            for report in &mut reports {
                report.n_waiting = report.holds().filter_map(|hold| waiting.get(hold.as_str())).sum();
            }
            Ok(reports)
        })
        .await
    }

    /// Lists the failed CAs, latest first, at most [`FAILED_MAX`].
    pub async fn failed_authorities(&self) -> Result<Vec<FailedAuthority>, LedgerError> {
        // Uses the index `failed_authorities`: the query must repeat the index condition word for word.
        let query = "-- failed_authorities
            select target, batch, certificate_id, code, detail, request::text, ended_at
            from registrations r
            where operation = 'RegisterCACertificate' and status not in ('registered', 'already_registered')
                and not exists (
                    select
                    from authorities a
                    where (a.account, a.region, a.certificate_id) = (r.account, r.region, r.certificate_id)
                )
            order by ended_at desc
            limit $1";
        self.run(async |db| {
            let rows = sqlx::query(query).bind(FAILED_MAX.cast_signed()).fetch_all(db).await?;
            rows.iter().map(read_failed).collect()
        })
        .await
    }
}

impl AuthorityReport {
    /// Returns whether a hold is on the certificates of this CA.
    pub fn is_held_by(&self, hold: &HoldKey) -> bool {
        self.holds().any(|its| its == *hold)
    }

    /// Returns the holds that certificates of this CA wait for.
    fn holds(&self) -> impl Iterator<Item = HoldKey> {
        self.targets.iter().map(|target| HoldKey::issuer(target, self.authority.subject_key))
    }
}

/// Counts the jobs that wait for each hold of these CAs.
async fn count_waiting(
    db: &mut PgConnection,
    reports: &[AuthorityReport],
) -> Result<HashMap<String, u64>, LedgerError> {
    let holds: Vec<String> = reports.iter().flat_map(AuthorityReport::holds).map(|hold| hold.to_string()).collect();
    let query = "-- count_waiting
        select h.hold, waiting.n
        from holds h
        cross join lateral (
            select count(*) as n
            from (
                select
                from registrations
                where waits_for = h.hold and request is not null
                limit $2
            ) as counted
        ) as waiting
        where h.hold = any($1::text[])";
    let rows = sqlx::query(query).bind(holds).bind(COUNTED_MAX.cast_signed()).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("hold")?, row.try_get::<i64, _>("n")?.cast_unsigned()))).collect()
}

fn read_report(row: &PgRow) -> Result<AuthorityReport, LedgerError> {
    let targets: Vec<String> = row.try_get("targets")?;
    let targets = targets.iter().filter_map(|name| name.parse().ok()).collect();
    Ok(AuthorityReport { authority: read_authority(row)?, targets, n_waiting: 0 })
}

fn read_failed(row: &PgRow) -> Result<FailedAuthority, LedgerError> {
    let request: Option<String> = row.try_get("request")?;
    Ok(FailedAuthority {
        target: row.try_get("target")?,
        batch: row.try_get("batch")?,
        certificate_id: row.try_get::<Option<[u8; 32]>, _>("certificate_id")?.map(CertificateId),
        subject: request.as_deref().and_then(subject_in),
        code: word("code", &row.try_get::<String, _>("code")?)?,
        detail: row.try_get("detail")?,
        ended_at: row.try_get("ended_at")?,
    })
}

/// Returns the subject of the CA in a kept request.
fn subject_in(request: &str) -> Option<String> {
    let request = Request::read(Operation::RegisterCACertificate, request).ok()?;
    Some(request.certificate()?.subject())
}
