//! The holds as operators see them, with the number of jobs that wait for each.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use crate::ledger::{Ledger, LedgerError};
use muster_core::hold::HoldKey;

/// Maximum number of waiting jobs that a listing counts for one hold: a larger number is not worth the time.
pub const COUNTED_MAX: u64 = 10_000;

/// A hold, open or released.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HoldReport {
    /// Its key.
    pub hold: HoldKey,
    /// Subject of the CA, for a hold on an issuer. `None`: any other hold, or an older version opened it.
    pub subject: Option<String>,
    /// Human-readable reason for the hold.
    pub reason: String,
    /// Further jobs are parked without calling AWS.
    pub is_closed: bool,
    /// When it was opened.
    pub opened_at: OffsetDateTime,
    /// When the next job may be sent as a probe.
    pub probe_at: OffsetDateTime,
    /// When it was released. `None`: it is open.
    pub released_at: Option<OffsetDateTime>,
    /// Number of jobs that wait for it, counted up to [`COUNTED_MAX`].
    pub n_waiting: u64,
}

impl Ledger {
    /// Returns the subject of the CA of a hold on an issuer, if it is known.
    pub async fn hold_subject(&self, hold: &HoldKey) -> Result<Option<String>, LedgerError> {
        let query = "-- hold_subject
            select subject
            from holds
            where hold = $1";
        let found: Option<Option<String>> =
            self.run(async |db| Ok(sqlx::query_scalar(query).bind(hold.as_str()).fetch_optional(db).await?)).await?;
        Ok(found.flatten())
    }

    /// Lists all holds, oldest first.
    pub async fn holds_report(&self) -> Result<Vec<HoldReport>, LedgerError> {
        let query = "-- holds_report
            select h.hold, h.subject, h.reason, h.is_closed, h.opened_at, h.probe_at, h.released_at, waiting.n as n_waiting
            from holds h
            cross join lateral (
                select count(*) as n
                from (
                    select
                    from registrations
                    where waits_for = h.hold and request is not null
                    limit $1
                ) as counted
            ) as waiting
            order by h.opened_at, h.hold";
        let max = COUNTED_MAX.cast_signed();
        self.run(async |db| sqlx::query(query).bind(max).fetch_all(db).await?.iter().map(read_report).collect()).await
    }
}

fn read_report(row: &PgRow) -> Result<HoldReport, LedgerError> {
    Ok(HoldReport {
        hold: HoldKey::read(row.try_get("hold")?),
        subject: row.try_get("subject")?,
        reason: row.try_get("reason")?,
        is_closed: row.try_get("is_closed")?,
        opened_at: row.try_get("opened_at")?,
        probe_at: row.try_get("probe_at")?,
        released_at: row.try_get("released_at")?,
        n_waiting: row.try_get::<i64, _>("n_waiting")?.cast_unsigned(),
    })
}
