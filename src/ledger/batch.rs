//! The progress of a batch and its failures, from the counters and by index: never by counting the batch's rows.

mod list;
mod waiting;

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;

use super::missing::Quiet;
use super::{Ledger, LedgerError, word};
use muster_core::job::Operation;
use muster_core::outcome::{Code, Status};

pub use list::{BatchFilter, BatchLine, BatchState};
pub use waiting::{COUNTED_MAX, WaitingJobs};

/// The progress of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchStatus {
    /// How many distinct certificates the producer announced.
    pub announced: Option<u64>,
    /// How long ago the size was announced, or the first message of the batch was received. `None`: only an older
    /// version saw the batch.
    pub announced_ago: Option<Duration>,
    /// Outcomes and parked jobs by source and code.
    pub counts: Vec<Count>,
    /// The holds that parked jobs wait for. Parked jobs not counted here are being resent.
    pub waiting: Vec<WaitingJobs>,
}

/// One certificate that failed with a code.
#[derive(Clone, Debug)]
pub struct FailureExample {
    /// Why it failed.
    pub code: Code,
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
    /// The producer's own name for the device (`ref`).
    pub reference: Option<String>,
    /// Human-readable details beyond the code.
    pub detail: Option<String>,
}

/// Number of certificates of one source with one code.
#[derive(Clone, Debug)]
pub struct Count {
    /// Factory line; empty if the jobs named none.
    pub source: String,
    /// Their status. An older version may have written another status than the code has now.
    pub status: Status,
    /// Their code.
    pub code: Code,
    /// How many.
    pub n: u64,
    /// How many of them have another status at AWS than was requested, or an unknown one.
    pub n_status_differs: u64,
    /// When the first was recorded.
    pub first_at: OffsetDateTime,
    /// When the last was recorded.
    pub last_at: OffsetDateTime,
}

impl BatchStatus {
    /// Returns how many certificates have an outcome. A parked one has none.
    pub fn finished(&self) -> u64 {
        self.counts.iter().filter(|count| count.status.is_outcome()).map(|count| count.n).sum()
    }

    /// Returns how many certificates are parked.
    pub fn parked(&self) -> u64 {
        self.with_status(Status::Parked)
    }

    /// Returns how many parked jobs wait for an open hold. `None`: too many to count.
    pub fn waiting(&self) -> Option<u64> {
        let counted = self.waiting.iter().map(|waiting| Some(waiting.n).filter(|&n| n < COUNTED_MAX));
        counted.sum()
    }

    /// Returns how many parked jobs are being resent because their hold was released. `None`: unknown.
    pub fn being_resent(&self) -> Option<u64> {
        Some(self.parked().saturating_sub(self.waiting()?))
    }

    /// Returns how many outstanding certificates are missing, given for how long the queues have been empty. `None`:
    /// this is unknown.
    pub fn missing(&self, queues_empty_for: Option<Duration>) -> Option<u64> {
        Quiet { queues_empty_for, announced_ago: self.announced_ago }.missing(self.outstanding())
    }

    /// Returns how many certificates have the given status.
    pub fn with_status(&self, status: Status) -> u64 {
        self.counts.iter().filter(|count| count.status == status).map(|count| count.n).sum()
    }

    /// Returns how many certificates failed.
    pub fn failed(&self) -> u64 {
        self.counts
            .iter()
            .filter(|count| count.status.is_outcome() && !count.status.is_success())
            .map(|count| count.n)
            .sum()
    }

    /// Returns how many certificates have another status at AWS than was requested, or an unknown one.
    pub fn status_differs(&self) -> u64 {
        self.counts.iter().map(|count| count.n_status_differs).sum()
    }

    /// Returns how many announced certificates have no outcome and are not parked. `None`: no size was announced.
    pub fn outstanding(&self) -> Option<u64> {
        outstanding(self.announced, self.finished(), self.parked())
    }

    /// Returns whether every announced certificate has an outcome.
    pub fn is_complete(&self) -> bool {
        self.outstanding() == Some(0) && self.parked() == 0
    }
}

/// Saturates at zero: a producer may send more certificates than it announced.
fn outstanding(announced: Option<u64>, finished: u64, parked: u64) -> Option<u64> {
    Some(announced?.saturating_sub(finished).saturating_sub(parked))
}

impl Ledger {
    /// Returns the progress of a batch. `None`: no job named this batch.
    pub async fn batch_status(&self, batch: &str) -> Result<Option<BatchStatus>, LedgerError> {
        self.run(async |db| {
            // One snapshot, so that the numbers of a batch in progress are consistent.
            let mut snapshot = self.begin(db).await?;
            sqlx::query(SNAPSHOT).execute(&mut *snapshot).await?;
            let announced = "-- batch_announced
                select announced, extract(epoch from clock_timestamp() - announced_at)::float8 as announced_ago
                from batches
                where batch = $1";
            let Some(announced) = sqlx::query(announced).bind(batch).fetch_optional(&mut *snapshot).await? else {
                return Ok(None);
            };
            let counts = counts(&mut snapshot, batch).await?;
            let is_parked = counts.iter().any(|count| count.status == Status::Parked);
            let waiting = if is_parked { waiting::waiting(&mut snapshot, batch).await? } else { vec![] };
            Ok(Some(BatchStatus {
                announced: announced_of(&announced)?,
                announced_ago: announced_ago(&announced)?,
                counts,
                waiting,
            }))
        })
        .await
    }

    /// Returns one failed certificate of a batch for each of the given codes.
    pub async fn batch_examples(&self, batch: &str, codes: &[Code]) -> Result<Vec<FailureExample>, LedgerError> {
        let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        self.run(async |db| {
            // One lookup in the index `failures` for each code: the query must repeat its condition word for word.
            let rows = sqlx::query(
                "-- batch_examples
                select wanted.code, example.subject, example.ref, example.detail
                from unnest($2::text[]) as wanted (code)
                cross join lateral (
                    select subject, ref, detail
                    from registrations
                    where batch = $1 and code = wanted.code
                        and status not in ('registered', 'already_registered')
                    order by subject
                    limit 1
                ) as example",
            )
            .bind(batch)
            .bind(codes)
            .fetch_all(&mut *db)
            .await?;
            rows.iter().map(read_example).collect()
        })
        .await
    }

    /// Returns the targets and operations for which a batch has rows, in the order of their names.
    pub async fn batch_operations(&self, batch: &str) -> Result<Vec<(String, Operation)>, LedgerError> {
        // Skips from one to the next in the primary key (loose index scan): Postgres does not do that for `distinct`.
        let query = "-- batch_operations
            with recursive found (target, operation) as (
                (
                    select target, operation
                    from registrations
                    where batch = $1
                    order by target, operation
                    limit 1
                )
                union all
                select next.target, next.operation
                from found
                cross join lateral (
                    select target, operation
                    from registrations
                    where batch = $1 and (target, operation) > (found.target, found.operation)
                    order by target, operation
                    limit 1
                ) as next
            )
            select target, operation
            from found";
        self.run(async |db| {
            let rows: Vec<(String, String)> = sqlx::query_as(query).bind(batch).fetch_all(&mut *db).await?;
            rows.into_iter().map(|(target, operation)| Ok((target, word("operation", &operation)?))).collect()
        })
        .await
    }

    /// Returns the names of the `n` most recent batches, most recent first, by when each was first recorded.
    pub async fn recent_batches(&self, n: u32) -> Result<Vec<String>, LedgerError> {
        let query = "-- recent_batches
select batch from batches order by first_recorded_at desc limit $1";
        self.run(async |db| Ok(sqlx::query_scalar(query).bind(i64::from(n)).fetch_all(&mut *db).await?)).await
    }

    /// Counts the quarantined messages.
    pub async fn quarantined(&self) -> Result<u64, LedgerError> {
        let query = "-- quarantined\nselect count(*) from quarantine";
        self.run(async |db| Ok(sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *db).await?.cast_unsigned())).await
    }
}

/// The first statement of a read-only transaction whose statements all see one snapshot.
const SNAPSHOT: &str = "-- snapshot\nset transaction isolation level repeatable read, read only";

async fn counts(db: &mut PgConnection, batch: &str) -> Result<Vec<Count>, LedgerError> {
    let query = "-- batch_counts
        select source, status, code, n, n_status_differs, first_at, last_at
        from batch_counters
        where batch = $1 and n > 0
        order by source, status, code";
    sqlx::query(query).bind(batch).fetch_all(db).await?.iter().map(read).collect()
}

fn announced_of(row: &PgRow) -> Result<Option<u64>, LedgerError> {
    Ok(row.try_get::<Option<i64>, _>("announced")?.map(i64::cast_unsigned))
}

fn announced_ago(row: &PgRow) -> Result<Option<Duration>, LedgerError> {
    let seconds: Option<f64> = row.try_get("announced_ago")?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

fn read(row: &PgRow) -> Result<Count, LedgerError> {
    Ok(Count {
        source: row.try_get("source")?,
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        n: row.try_get::<i64, _>("n")?.cast_unsigned(),
        n_status_differs: row.try_get::<i64, _>("n_status_differs")?.cast_unsigned(),
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}

fn read_example(row: &PgRow) -> Result<FailureExample, LedgerError> {
    Ok(FailureExample {
        code: word("code", &row.try_get::<String, _>("code")?)?,
        subject: row.try_get("subject")?,
        reference: row.try_get("ref")?,
        detail: row.try_get("detail")?,
    })
}
