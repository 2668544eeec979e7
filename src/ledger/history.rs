//! The history for charts: outcomes and throttled calls of each minute, for 31 days.
//!
//! Outcomes are counted in the transaction that writes them, by what each row was before and after, so a page that is
//! written twice counts once. Each writer has rows of its own: no two processes wait for each other. The counts never
//! go down: a batch that is pruned, or a certificate that is deleted at AWS, changes nothing in the past.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;

use super::queue_readings::as_i64;
use super::row::Row;
use super::{Ledger, LedgerError, word};
use muster_core::job::Operation;
use muster_core::outcome::{Code, Status};

/// For how long the minutes are kept.
pub const HISTORY_KEPT: Duration = Duration::from_hours(31 * 24);

/// The shortest bucket of a history: what happened within a minute is not known.
const BUCKET_MIN: Duration = Duration::from_mins(1);

/// Most rows that one call deletes, so that it never takes long.
const FORGOTTEN_MAX: i64 = 10_000;

/// The writer of pages without a mark.
const NO_WRITER: i64 = 0;

/// What happened to the jobs of one target and operation in one bucket of time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryPoint {
    /// Start of the bucket, by the clock of the server.
    pub at: OffsetDateTime,
    /// Name of the target.
    pub target: String,
    /// AWS call.
    pub operation: Operation,
    /// Certificates that Muster registered: their rows were no success before.
    pub n_registered: u64,
    /// Certificates that turned out to be registered already: their rows were no success before.
    pub n_already_registered: u64,
    /// Jobs that newly failed. A job that was resent and fails again counts again.
    pub n_failed: u64,
    /// Jobs that were newly parked. A job that was resent and is parked again counts again.
    pub n_parked: u64,
    /// Calls that AWS throttled. A killed worker loses those of its last three seconds.
    pub n_throttled: u64,
}

/// Number of throttled calls by target and operation.
pub type ThrottleCounts = BTreeMap<(String, Operation), u64>;

impl Ledger {
    /// Returns the sums over all writers per bucket, target and operation, oldest first. The buckets are multiples of
    /// `bucket`, at least a minute, since 1970 in UTC. The first one starts at or before `since` ago; the last one is
    /// not over yet. A bucket in which nothing happened is left out.
    ///
    /// Reads only the minutes of that time, by the primary key.
    pub async fn history(&self, since: Duration, bucket: Duration) -> Result<Vec<HistoryPoint>, LedgerError> {
        // `now()`, not `clock_timestamp()`: a volatile function cannot limit the scan of an index.
        let query = "-- history
            select date_bin(make_interval(secs => $2), minute, timestamptz 'epoch') as at, target, operation,
                sum(n_registered)::bigint as n_registered,
                sum(n_already_registered)::bigint as n_already_registered,
                sum(n_failed)::bigint as n_failed,
                sum(n_parked)::bigint as n_parked,
                sum(n_throttled)::bigint as n_throttled
            from minute_counts
            where minute >= date_bin(
                make_interval(secs => $2), now() - make_interval(secs => $1), timestamptz 'epoch'
            )
            group by at, target, operation
            order by at, target collate \"C\", operation collate \"C\"";
        let (since, bucket) = (since.min(HISTORY_KEPT), bucket.clamp(BUCKET_MIN, HISTORY_KEPT));
        self.run(async |db| {
            let query = sqlx::query(query).bind(since.as_secs_f64()).bind(bucket.as_secs_f64());
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }

    /// Returns the oldest minute that is kept: before it, nothing is known. `None`: nothing was counted yet.
    pub async fn history_began(&self) -> Result<Option<OffsetDateTime>, LedgerError> {
        let query = "-- history_began\nselect min(minute) from minute_counts";
        self.run(async |db| Ok(sqlx::query_scalar(query).fetch_one(db).await?)).await
    }

    /// Adds throttled calls to the current minute. `writer` is a random number that no page writer has.
    ///
    /// # Errors
    /// After an error nothing was added, unless the COMMIT was in doubt.
    pub async fn add_throttles(&self, writer: i64, counts: &ThrottleCounts) -> Result<(), LedgerError> {
        let throttled = |n: u64| Counts { throttled: as_i64(n), ..Counts::default() };
        let tally =
            counts.iter().map(|((target, operation), n)| ((target.as_str(), (*operation).into()), throttled(*n)));
        let tally = MinuteTally(tally.collect());
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            count_minute(&mut transaction, Some(writer), &tally).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Deletes minutes older than [`HISTORY_KEPT`], up to ten thousand rows. Returns how many it deleted.
    pub async fn forget_minutes(&self) -> Result<u64, LedgerError> {
        // Rows that another worker deletes are skipped.
        let delete = "-- forget_minutes
            with old as (
                select minute, target, operation, writer
                from minute_counts
                where minute < now() - make_interval(secs => $1)
                order by minute
                limit $2
                for update skip locked
            )
            delete from minute_counts m
            using old
            where (m.minute, m.target, m.operation, m.writer) = (old.minute, old.target, old.operation, old.writer)";
        let kept = HISTORY_KEPT.as_secs_f64();
        self.run(async |db| Ok(sqlx::query(delete).bind(kept).bind(FORGOTTEN_MAX).execute(db).await?.rows_affected()))
            .await
    }
}

/// What happened to the rows of one target and operation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    registered: i64,
    already_registered: i64,
    failed: i64,
    parked: i64,
    throttled: i64,
}

/// What happened in one transaction, by target and operation.
#[derive(Debug, Default)]
pub(super) struct MinuteTally<'a>(BTreeMap<(&'a str, &'static str), Counts>);

/// What a row was before an outcome was merged into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    status: Status,
    code: Code,
    was_resent: bool,
}

impl Before {
    /// Remembers a row. `status` is its status in the database.
    pub(super) fn of(row: &Row, status: Status) -> Self {
        Self { status, code: row.outcome.code, was_resent: row.outcome.resent_at.is_some() }
    }

    /// Returns whether the row has a new outcome now. A success is final. A failure that another message brings once
    /// more is not new, unless the job was resent: then it failed again.
    fn is_replaced_by(self, after: &Row) -> bool {
        let now = (after.outcome.status(), after.outcome.code);
        !self.status.is_success() && (self.was_resent || (self.status, self.code) != now)
    }
}

impl<'a> MinuteTally<'a> {
    /// Counts a row as it is after its outcome `new` was written. `before`: what it was before; `None`: it did not exist.
    pub(super) fn note(&mut self, new: &'a Row, before: Option<Before>, after: &Row) {
        if before.is_some_and(|before| !before.is_replaced_by(after)) {
            return;
        }
        let counts = self.0.entry((&new.target, new.operation.into())).or_default();
        let n = match after.outcome.status() {
            Status::Registered => &mut counts.registered,
            Status::AlreadyRegistered => &mut counts.already_registered,
            Status::Rejected | Status::Refused | Status::Exhausted | Status::Gone => &mut counts.failed,
            Status::Parked => &mut counts.parked,
        };
        *n += 1;
    }
}

/// Adds to the current minute of a writer. Rows are locked in the order of the keys.
pub(super) async fn count_minute(
    db: &mut PgConnection,
    writer: Option<i64>,
    tally: &MinuteTally<'_>,
) -> Result<(), LedgerError> {
    if tally.0.is_empty() {
        return Ok(());
    }
    let upsert = "-- count_minute
        insert into minute_counts as m (
            minute, target, operation, writer, n_registered, n_already_registered, n_failed, n_parked, n_throttled
        )
        select date_trunc('minute', clock_timestamp()), target, operation, $1, n_registered, n_already_registered,
            n_failed, n_parked, n_throttled
        from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
            as new (target, operation, n_registered, n_already_registered, n_failed, n_parked, n_throttled)
        on conflict (minute, target, operation, writer) do update
        set n_registered = m.n_registered + excluded.n_registered,
            n_already_registered = m.n_already_registered + excluded.n_already_registered,
            n_failed = m.n_failed + excluded.n_failed,
            n_parked = m.n_parked + excluded.n_parked,
            n_throttled = m.n_throttled + excluded.n_throttled";
    let column = |n: fn(&Counts) -> i64| tally.0.values().map(n).collect::<Vec<_>>();
    sqlx::query(upsert)
        .bind(writer.unwrap_or(NO_WRITER))
        .bind(tally.0.keys().map(|(target, _)| *target).collect::<Vec<_>>())
        .bind(tally.0.keys().map(|(_, operation)| *operation).collect::<Vec<_>>())
        .bind(column(|counts| counts.registered))
        .bind(column(|counts| counts.already_registered))
        .bind(column(|counts| counts.failed))
        .bind(column(|counts| counts.parked))
        .bind(column(|counts| counts.throttled))
        .execute(db)
        .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<HistoryPoint, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(HistoryPoint {
        at: row.try_get("at")?,
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        n_registered: n("n_registered")?,
        n_already_registered: n("n_already_registered")?,
        n_failed: n("n_failed")?,
        n_parked: n("n_parked")?,
        n_throttled: n("n_throttled")?,
    })
}
