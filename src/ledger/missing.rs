//! How many outstanding certificates are missing.
//!
//! Missing means: announced, without an outcome, not parked, and no message can still be on its way. The last holds
//! once every [reading](super::queue_readings) for two minutes found the queues empty, and nothing was sent, received
//! or recorded in that time.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::queue_readings::as_i64;
use super::{Ledger, LedgerError};

/// How long the queues must have been empty before outstanding certificates count as missing: the counts of SQS lag by
/// up to a minute.
pub const MISSING_AFTER: Duration = Duration::from_mins(2);

/// How long a count of missing certificates is reused: a new count reads the counters of every batch.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// For how long nothing has happened that could still bring a missing certificate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quiet {
    /// How long the queues have been empty. `None`: they are not, or no worker reads them.
    pub queues_empty_for: Option<Duration>,
    /// How long ago the batch was announced. `None`: only an older version saw it.
    pub announced_ago: Option<Duration>,
}

impl Quiet {
    /// Returns whether no message of the batch can still be on its way.
    pub fn is_long_enough(self) -> bool {
        is_quiet(self.queues_empty_for) && self.announced_ago.is_none_or(|ago| ago >= MISSING_AFTER)
    }

    /// Returns how many outstanding certificates are missing. `None`: unknown, because messages may be on their way.
    pub fn missing(self, outstanding: Option<u64>) -> Option<u64> {
        outstanding.filter(|&n| n == 0 || self.is_long_enough())
    }
}

/// Returns whether the queues have been empty long enough that no more messages can come from them.
pub fn is_quiet(empty_for: Option<Duration>) -> bool {
    empty_for.is_some_and(|time| time >= MISSING_AFTER)
}

impl Ledger {
    /// Counts the outstanding certificates of all batches, regardless of what the queues hold.
    pub async fn outstanding_jobs(&self) -> Result<u64, LedgerError> {
        self.run(outstanding_jobs).await
    }

    /// Counts the missing certificates on behalf of all workers, unless one did so in the last half minute. Does
    /// nothing while messages may be on their way.
    pub async fn count_missing(&self) -> Result<(), LedgerError> {
        if !is_quiet(self.queues_empty_for().await?) {
            return Ok(());
        }
        let claim = "-- claim_missing_count
            insert into missing_counts as m (n_missing, counted_at)
            values (0, '-infinity')
            on conflict (one) do update
            set counted_at = m.counted_at
            returning counted_at > now() - make_interval(secs => $1)";
        let count = "-- count_missing
            update missing_counts
            set n_missing = $1, counted_at = now()";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let query = sqlx::query_scalar(claim).bind(COUNT_EVERY.as_secs_f64());
            let is_fresh: bool = query.fetch_one(&mut *transaction).await?;
            if !is_fresh {
                let n_missing = as_i64(outstanding_jobs(&mut transaction).await?);
                sqlx::query(count).bind(n_missing).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Returns how many certificates of all batches are missing: the last count of a worker, so that all show the same
    /// number. `None`: unknown, because messages may be on their way.
    pub async fn missing_jobs(&self) -> Result<Option<u64>, LedgerError> {
        if !is_quiet(self.queues_empty_for().await?) {
            return Ok(None);
        }
        let counted = "-- missing_jobs
            select n_missing
            from missing_counts
            where counted_at > now() - make_interval(secs => $1)";
        self.run(async |db| {
            let query = sqlx::query_scalar(counted).bind(2.0 * COUNT_EVERY.as_secs_f64());
            let counted: Option<i64> = query.fetch_optional(&mut *db).await?;
            match counted {
                Some(n) => Ok(Some(n.cast_unsigned())),
                None => outstanding_jobs(db).await.map(Some),
            }
        })
        .await
    }
}

/// Sums what batches announced at least two minutes ago and that has no outcome and is not parked, up to the greatest
/// 64-bit number.
async fn outstanding_jobs(db: &mut PgConnection) -> Result<u64, LedgerError> {
    // Older versions recorded batch sizes up to 2^63-1. The sum is a `numeric`, which two of them do not overflow.
    let query = "-- outstanding_jobs
        select least(coalesce(sum(greatest(b.announced - coalesce(c.n, 0), 0)), 0), 9223372036854775807)::bigint
        from batches b
        left join (
            select batch, sum(n) as n
            from batch_counters
            group by batch
        ) as c using (batch)
        where b.announced is not null
            and coalesce(b.announced_at <= now() - make_interval(secs => $1), true)";
    let n: i64 = sqlx::query_scalar(query).bind(MISSING_AFTER.as_secs_f64()).fetch_one(db).await?;
    Ok(n.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(outstanding: Option<u64>, empty_for: Option<u64>, announced_ago: Option<u64>) -> Option<u64> {
        let seconds = |n: Option<u64>| n.map(Duration::from_secs);
        let quiet = Quiet { queues_empty_for: seconds(empty_for), announced_ago: seconds(announced_ago) };
        quiet.missing(outstanding)
    }

    #[test]
    fn outstanding_certificates_are_missing_after_two_minutes_of_empty_queues() {
        assert_eq!(missing(Some(37), Some(120), Some(7200)), Some(37));
        assert_eq!(missing(Some(37), Some(119), Some(7200)), None);
        assert_eq!(missing(Some(37), None, Some(7200)), None);
    }

    #[test]
    fn a_just_announced_batch_is_never_missing() {
        assert_eq!(missing(Some(37), Some(7200), Some(119)), None);
        assert_eq!(missing(Some(37), Some(7200), Some(120)), Some(37));
        assert_eq!(missing(Some(37), Some(7200), None), Some(37), "an older version saw it");
    }

    #[test]
    fn a_complete_batch_has_nothing_missing() {
        assert_eq!(missing(Some(0), None, Some(1)), Some(0));
    }

    #[test]
    fn a_batch_of_unknown_size_has_an_unknown_number_missing() {
        assert_eq!(missing(None, Some(120), None), None);
    }
}
