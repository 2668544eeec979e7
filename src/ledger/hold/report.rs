//! The holds as operators see them, with what waits for each.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use crate::ledger::{Ledger, LedgerError};
use muster_core::hold::HoldKey;

/// Most waiting jobs that a listing counts: beyond that the number is not worth its time.
pub const COUNTED_MAX: u64 = 10_000;

/// A hold as an operator wants to see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HoldReport {
    /// Its name.
    pub hold: HoldKey,
    /// The CA's name for people, for a hold on an issuer. None: any other hold, or an older version opened it.
    pub subject: Option<String>,
    /// What was found.
    pub reason: String,
    /// Further jobs are parked without a call.
    pub is_closed: bool,
    /// When it began.
    pub opened_at: OffsetDateTime,
    /// When the next job may be let through.
    pub probe_at: OffsetDateTime,
    /// When it was over; none: it holds.
    pub released_at: Option<OffsetDateTime>,
    /// How many jobs wait for it, counted up to [`COUNTED_MAX`].
    pub n_waiting: u64,
}

impl Ledger {
    /// The name of the CA of a hold on an issuer, where it is known.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn hold_subject(&self, hold: &HoldKey) -> Result<Option<String>, LedgerError> {
        let query = "-- hold_subject
            select subject
            from holds
            where hold = $1";
        let found: Option<Option<String>> =
            self.run(async |db| Ok(sqlx::query_scalar(query).bind(hold.as_str()).fetch_optional(db).await?)).await?;
        Ok(found.flatten())
    }

    /// Lists all holds, the oldest first.
    ///
    /// # Errors
    /// What the server or the connection met.
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
