//! What the queues held when workers last read them, and how long they have been empty.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::{Ledger, LedgerError};

/// Greatest age of a reading that still counts as current. Workers read the queues every 15 s.
pub const FRESH: Duration = Duration::from_mins(1);

/// How long a queue that no worker reads any more may still hold messages: the longest retention period of SQS.
const KEPT_MAX: Duration = Duration::from_hours(14 * 24);

/// One reading of the queues.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueReading {
    /// Messages in the main and the second queue: visible, in flight or delayed.
    pub n_messages: u64,
    /// Messages in their dead-letter queues; `None`: there is none, or it cannot be read.
    pub n_dead: Option<u64>,
}

/// What the queues held when they were last read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueReport {
    /// URL of the main queue; the second one is read with it.
    pub queue: String,
    /// How long ago they were read.
    pub read_ago: Duration,
    /// What they held. `None`: a worker of an older version read them.
    pub n_messages: Option<u64>,
    /// What their dead-letter queues held. `None`: unknown, or there is none.
    pub n_dead: Option<u64>,
}

impl Ledger {
    /// Records what the main queue, the second one and their dead-letter queues hold.
    pub async fn note_reading(&self, queue_url: &str, reading: QueueReading) -> Result<(), LedgerError> {
        // What happened in a gap between readings is unknown: the time starts again.
        let insert = "-- note_reading
            insert into queue_readings as q (queue, read_at, empty_since, n_messages, n_dead)
            values ($1, now(), case when $2 = 0 then now() end, $2, $3)
            on conflict (queue) do update
            set read_at = now(),
                empty_since = case
                    when $2 > 0 then null
                    when q.read_at > now() - make_interval(secs => $4) then least(coalesce(q.empty_since, now()), now())
                    else now()
                end,
                n_messages = $2,
                n_dead = $3";
        self.run(async |db| {
            let query = sqlx::query(insert).bind(queue_url).bind(as_i64(reading.n_messages));
            let query = query.bind(reading.n_dead.map(as_i64)).bind(FRESH.as_secs_f64());
            Ok(query.execute(db).await.map(drop)?)
        })
        .await
    }

    /// Records that a message was sent or received: no queue counts as empty until it is read again.
    pub async fn note_activity(&self) -> Result<(), LedgerError> {
        self.run(async |db| mark_queues_not_empty(db).await).await
    }

    /// Returns how long all queues have been empty, by the clock of the server. `None`: one is not, or is no longer
    /// read.
    pub async fn queues_empty_for(&self) -> Result<Option<Duration>, LedgerError> {
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

    /// Lists what the queues held at their last readings, newest first.
    pub async fn queue_reports(&self) -> Result<Vec<QueueReport>, LedgerError> {
        let query = "-- queue_reports
            select queue, extract(epoch from clock_timestamp() - read_at)::float8 as read_ago, n_messages, n_dead
            from queue_readings
            where read_at > clock_timestamp() - make_interval(secs => $1)
            order by read_at desc, queue";
        self.run(async |db| {
            sqlx::query(query).bind(KEPT_MAX.as_secs_f64()).fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }
}

/// Marks every queue as not empty until its next reading. The rows are locked in key order.
pub(super) async fn mark_queues_not_empty(db: &mut PgConnection) -> Result<(), LedgerError> {
    let update = "-- mark_queues_not_empty
        with empty as (
            select queue
            from queue_readings
            where empty_since is not null
            order by queue collate \"C\"
            for update
        )
        update queue_readings q
        set empty_since = null
        from empty
        where q.queue = empty.queue";
    Ok(sqlx::query(update).execute(db).await.map(drop)?)
}

/// Converts a count for a `bigint` column.
pub(super) fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn read(row: &PgRow) -> Result<QueueReport, LedgerError> {
    let count = |column| Ok::<_, LedgerError>(row.try_get::<Option<i64>, _>(column)?.map(i64::cast_unsigned));
    Ok(QueueReport {
        queue: row.try_get("queue")?,
        read_ago: Duration::try_from_secs_f64(row.try_get("read_ago")?).unwrap_or_default(),
        n_messages: count("n_messages")?,
        n_dead: count("n_dead")?,
    })
}
