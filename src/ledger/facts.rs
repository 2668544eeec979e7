//! Counts over the whole ledger, for the gauges of every worker and for `muster status`.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use super::workers::ALIVE_FOR;
use super::{Ledger, LedgerError};

/// Maximum number of quarantined messages that are counted.
pub const QUARANTINED_MAX: u64 = 1_000_000;

/// Counts over the whole fleet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FleetFacts {
    /// Workers whose last heartbeat is recent enough.
    pub workers_alive: u64,
    /// Parked jobs by code, including resent ones without an outcome.
    pub parked: BTreeMap<String, u64>,
    /// Open holds by kind.
    pub holds: BTreeMap<String, u64>,
    /// Quarantined messages, counted up to [`QUARANTINED_MAX`].
    pub quarantined: u64,
    /// Missing certificates of all batches. `None`: unknown, because messages may be on their way.
    pub missing: Option<u64>,
}

impl Ledger {
    /// Counts what is parked, held, quarantined and missing, and the workers that are alive. Writes nothing, so that a
    /// read-only role can call it.
    pub async fn facts(&self) -> Result<FleetFacts, LedgerError> {
        let missing = self.missing_jobs().await?;
        self.run(async |db| {
            let workers_alive = workers_alive(db).await?;
            let parked = count_by(db, PARKED_BY_CODE).await?;
            let holds = count_by(db, HOLDS_BY_KIND).await?;
            Ok(FleetFacts { workers_alive, parked, holds, quarantined: quarantined(db).await?, missing })
        })
        .await
    }
}

/// Uses the index `parked_counters`.
const PARKED_BY_CODE: &str = "-- parked_by_code
    select code, sum(n)::bigint
    from batch_counters
    where status = 'parked'
    group by code";

/// The kind is the first word of the key.
const HOLDS_BY_KIND: &str = "-- holds_by_kind
    select split_part(hold, ':', 1), count(*)
    from holds
    where released_at is null
    group by 1";

async fn count_by(db: &mut PgConnection, query: &'static str) -> Result<BTreeMap<String, u64>, LedgerError> {
    let counts: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(db).await?;
    Ok(counts.into_iter().map(|(key, n)| (key, n.cast_unsigned())).collect())
}

async fn workers_alive(db: &mut PgConnection) -> Result<u64, LedgerError> {
    let query = "-- workers_alive
        select count(*)
        from workers
        where seen_at >= clock_timestamp() - make_interval(secs => $1)";
    let n: i64 = sqlx::query_scalar(query).bind(ALIVE_FOR.as_secs_f64()).fetch_one(db).await?;
    Ok(n.cast_unsigned())
}

/// Needs only the primary key.
async fn quarantined(db: &mut PgConnection) -> Result<u64, LedgerError> {
    let query = "-- count_quarantined
        select count(*)
        from (
            select
            from quarantine
            limit $1
        ) as counted";
    let n: i64 = sqlx::query_scalar(query).bind(QUARANTINED_MAX.cast_signed()).fetch_one(db).await?;
    Ok(n.cast_unsigned())
}
