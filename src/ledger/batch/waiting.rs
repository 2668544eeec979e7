//! The holds that the parked jobs of a batch wait for.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::ledger::LedgerError;
use muster_core::hold::HoldKey;

/// Maximum number of waiting jobs of a batch that are counted for one hold: the count reads an index entry for each.
pub const COUNTED_MAX: u64 = 100_000;

/// Jobs of a batch that wait for one open hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaitingJobs {
    /// The hold that they wait for.
    pub hold: HoldKey,
    /// The subject of the CA, for a hold on an issuer.
    pub subject: Option<String>,
    /// Number of jobs, counted up to [`COUNTED_MAX`].
    pub n: u64,
}

/// Counts the parked jobs of a batch that wait for open holds, largest count first. All others are being resent.
pub(super) async fn waiting(db: &mut PgConnection, batch: &str) -> Result<Vec<WaitingJobs>, LedgerError> {
    // Uses the index `waiting`: the query must repeat the index condition word for word.
    let query = "-- batch_waiting
        select h.hold, h.subject, counted.n
        from holds h
        cross join lateral (
            select count(*) as n
            from (
                select
                from registrations
                where waits_for = h.hold and batch = $1 and status = 'parked'
                    and waits_for is not null and request is not null
                limit $2
            ) as its
        ) as counted
        where h.released_at is null and not starts_with(h.hold, 'busy:') and counted.n > 0
        order by counted.n desc, h.hold";
    let rows = sqlx::query(query).bind(batch).bind(COUNTED_MAX.cast_signed()).fetch_all(db).await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<WaitingJobs, LedgerError> {
    Ok(WaitingJobs {
        hold: HoldKey::read(row.try_get("hold")?),
        subject: row.try_get("subject")?,
        n: row.try_get::<i64, _>("n")?.cast_unsigned(),
    })
}
