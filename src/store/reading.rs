//! What the queues were last read as: whether anything is on its way, and so whether what has no end is missing.

use std::time::Duration;

use super::{Store, StoreError};

/// How long the queues must have read empty before what was announced and has no end is called missing: SQS's own
/// counts lag by up to a minute.
pub const MISSING_AFTER: Duration = Duration::from_mins(2);

/// Oldest reading that tells how a queue is now; workers read every 15 s.
const FRESH: Duration = Duration::from_mins(1);

/// How long a queue that nobody reads any more may still hold messages: the longest that SQS keeps one.
const KEPT_MAX: Duration = Duration::from_hours(14 * 24);

/// How many of those without an end are known to be missing; none where that is not known, as messages may be on their way.
pub fn missing(outstanding: Option<u64>, empty_for: Option<Duration>) -> Option<u64> {
    outstanding.filter(|&n| n == 0 || is_quiet(empty_for))
}

/// Says whether the queues have been empty for so long that nothing more comes from them.
pub fn is_quiet(empty_for: Option<Duration>) -> bool {
    empty_for.is_some_and(|time| time >= MISSING_AFTER)
}

impl Store {
    /// Notes whether a queue, and the second one with it, held nothing: nothing visible, in flight or delayed.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn note_reading(&self, queue_url: &str, is_empty: bool) -> Result<(), StoreError> {
        // After a while without a reading nobody knows what was in between.
        let insert = "-- note_reading
            insert into queue_readings as q (queue, read_at, empty_since)
            values ($1, now(), case when $2 then now() end)
            on conflict (queue) do update
            set read_at = now(),
                empty_since = case
                    when not $2 then null
                    when q.read_at > now() - make_interval(secs => $3) then least(coalesce(q.empty_since, now()), now())
                    else now()
                end";
        self.run(async |db| {
            let query = sqlx::query(insert).bind(queue_url).bind(is_empty).bind(FRESH.as_secs_f64());
            Ok(query.execute(db).await.map(drop)?)
        })
        .await
    }

    /// Tells for how long every queue has read empty, by the server's clock; none where one is not, or nobody reads it.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn queues_empty_for(&self) -> Result<Option<Duration>, StoreError> {
        let query = "-- queues_empty_for
            select extract(epoch from clock_timestamp() - max(empty_since))::float8
            from queue_readings
            where read_at > clock_timestamp() - make_interval(secs => $1)
            having bool_and(empty_since is not null and read_at > clock_timestamp() - make_interval(secs => $2))";
        self.run(async |db| {
            let query = sqlx::query_scalar(query).bind(KEPT_MAX.as_secs_f64()).bind(FRESH.as_secs_f64());
            let seconds: Option<f64> = query.fetch_optional(db).await?;
            Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
        })
        .await
    }

    /// Adds up what all batches announced and has neither an outcome nor is parked, up to the greatest 64-bit number;
    /// whether it is missing, the queues tell.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn outstanding_jobs(&self) -> Result<u64, StoreError> {
        // Older programs recorded batch sizes up to 2^63-1: the sum is a `numeric`, which two of them do not overflow.
        let query = "-- outstanding_jobs
            select least(coalesce(sum(greatest(b.announced - coalesce(c.n, 0), 0)), 0), 9223372036854775807)::bigint
            from batches b
            left join (
                select batch, sum(n) as n
                from batch_counters
                group by batch
            ) as c using (batch)
            where b.announced is not null";
        self.run(async |db| Ok(sqlx::query_scalar::<_, i64>(query).fetch_one(db).await?.cast_unsigned())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_missing_once_the_queues_were_empty_for_long() {
        assert_eq!(missing(Some(37), Some(MISSING_AFTER)), Some(37));
        assert_eq!(missing(Some(37), Some(Duration::from_secs(119))), None);
        assert_eq!(missing(Some(37), None), None);
    }

    #[test]
    fn of_a_batch_that_has_all_its_ends_nothing_is_missing_whatever_is_in_the_queues() {
        assert_eq!(missing(Some(0), None), Some(0));
    }

    #[test]
    fn of_a_batch_of_unknown_size_nobody_knows_what_is_missing() {
        assert_eq!(missing(None, Some(MISSING_AFTER)), None);
    }
}
