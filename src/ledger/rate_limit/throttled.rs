//! The quotas that AWS currently throttles.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::ledger::{Ledger, LedgerError};

/// A quota whose rate has nearly recovered is listed if a throttle cut it within this time.
const RECENT: Duration = Duration::from_mins(5);

/// A quota whose learnt rate is below this share of the configured one is always listed.
const LOW: f64 = 0.9;

/// A quota that AWS throttles below its configured rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttle {
    /// A target that uses the quota.
    pub target: String,
    /// AWS call.
    pub operation: String,
    /// The configured rate, in calls a second.
    pub ceiling: f64,
    /// The learnt rate, in calls a second.
    pub learnt: f64,
    /// How long ago a throttle last cut the rate.
    pub cut_ago: Duration,
}

impl Ledger {
    /// Lists the quotas whose learnt rate is below the configured one because of throttles.
    pub async fn throttles(&self) -> Result<Vec<Throttle>, LedgerError> {
        let query = "-- throttles
            select t.target, q.operation, q.ceiling, q.rate,
                extract(epoch from clock_timestamp() - q.cut_at)::float8 as cut_ago
            from rate_limits q
            join targets t using (account, region)
            where q.rate < q.ceiling
                and (q.rate < q.ceiling * $1 or q.cut_at > clock_timestamp() - make_interval(secs => $2))
            order by t.target, q.operation";
        self.run(async |db| {
            let query = sqlx::query(query).bind(LOW).bind(RECENT.as_secs_f64());
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<Throttle, LedgerError> {
    Ok(Throttle {
        target: row.try_get("target")?,
        operation: row.try_get("operation")?,
        ceiling: row.try_get("ceiling")?,
        learnt: row.try_get("rate")?,
        cut_ago: Duration::try_from_secs_f64(row.try_get("cut_ago")?).unwrap_or_default(),
    })
}
