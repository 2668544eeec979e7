//! Drops old batches, a few rows at a time: nothing is blocked for long, and the counters are correct after each page.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;

use super::audit::{AuditAction, note};
use super::counters::{CounterChanges, count};
use super::{Ledger, LedgerError, word};
use muster_core::outcome::{Code, Status};

/// A batch that may be dropped.
#[derive(Clone, Debug)]
pub struct OldBatch {
    /// Its name.
    pub batch: String,
    /// Number of its rows.
    pub n: u64,
    /// How many of these are parked.
    pub n_parked: u64,
    /// When its last outcome was recorded, or it was announced.
    pub last_at: OffsetDateTime,
    /// How long ago that is, by the clock of the server.
    pub last_ago: Duration,
}

/// The progress of pruning a batch: target, operation and subject of the last row that was examined.
#[derive(Clone, Debug, Default)]
pub struct PruneProgress {
    last: (String, String, Vec<u8>),
    /// Number of rows dropped so far.
    pub n_dropped: u64,
    /// Every row was examined.
    pub is_done: bool,
}

impl Ledger {
    /// Lists the batches without an outcome or an announcement for the given time, oldest first.
    pub async fn old_batches(&self, age: Duration) -> Result<Vec<OldBatch>, LedgerError> {
        let query = "-- old_batches
            select b.batch, coalesce(c.n, 0) as n, coalesce(c.n_parked, 0) as n_parked, last.at as last_at,
                extract(epoch from clock_timestamp() - last.at)::float8 as last_ago
            from batches b
            left join (
                select batch, sum(n)::bigint as n, sum(case when status = 'parked' then n else 0 end)::bigint as n_parked,
                    max(last_at) as last_at
                from batch_counters
                group by batch
            ) as c using (batch)
            cross join lateral (select greatest(b.first_recorded_at, b.announced_at, c.last_at) as at) as last
            where last.at <= clock_timestamp() - make_interval(secs => $1)
            order by last.at, b.batch";
        let age = age.as_secs_f64();
        self.run(async |db| sqlx::query(query).bind(age).fetch_all(db).await?.iter().map(read).collect()).await
    }

    /// Examines the next `n` rows of a batch and drops them. Rows of jobs that wait to be resent, or that were resent
    /// and have no outcome yet, stay.
    pub async fn prune(&self, batch: &str, so_far: &PruneProgress, n: u32) -> Result<PruneProgress, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let page = prune_page(&mut transaction, batch, &so_far.last, n).await?;
            lock_page(&mut transaction, batch, &page).await?;
            let n_dropped = so_far.n_dropped + drop_rows(&mut transaction, batch, &page).await?;
            transaction.commit().await?;
            let is_done = page.len() < n as usize;
            Ok(PruneProgress { last: page.into_iter().next_back().unwrap_or_default(), n_dropped, is_done })
        })
        .await
    }

    /// Removes a batch if it has no rows left, and records in the audit log who pruned it. Returns whether it was
    /// removed.
    pub async fn forget_batch(&self, batch: &str, n_dropped: u64, who: &str) -> Result<bool, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            lock_counters(&mut transaction, batch).await?;
            // A recorder that writes an outcome of the batch locks this row after its counters: none is missed below.
            let lock = "-- lock_batch\nselect true from batches where batch = $1 for update";
            sqlx::query(lock).bind(batch).execute(&mut *transaction).await?;
            let counters = "-- forget_counters\ndelete from batch_counters where batch = $1 and n = 0";
            sqlx::query(counters).bind(batch).execute(&mut *transaction).await?;
            let forget = "-- forget_batch
                delete from batches
                where batch = $1 and not exists (select from batch_counters where batch = $1)";
            let is_gone = sqlx::query(forget).bind(batch).execute(&mut *transaction).await?.rows_affected() == 1;
            let detail = serde_json::json!({ "dropped": n_dropped, "all": is_gone });
            note(&mut transaction, &AuditAction { who, action: "prune", what: batch, detail }).await?;
            transaction.commit().await?;
            Ok(is_gone)
        })
        .await
    }
}

/// Key of a row of a batch: target, operation and subject.
type PrunedKey = (String, String, Vec<u8>);

/// Returns the next rows of a batch in the order of the primary key, which follows the collation of the database.
async fn prune_page(
    db: &mut PgConnection,
    batch: &str,
    after: &PrunedKey,
    n: u32,
) -> Result<Vec<PrunedKey>, LedgerError> {
    let query = "-- prune_page
        select target, operation, subject
        from registrations
        where batch = $1 and (target, operation, subject) > ($2, $3, $4)
        order by target, operation, subject
        limit $5";
    let (target, operation, subject) = after;
    let query = sqlx::query_as(query).bind(batch).bind(target).bind(operation).bind(subject);
    Ok(query.bind(i64::from(n)).fetch_all(db).await?)
}

/// Locks rows in the order that every process uses: by bytes, whatever the collation of the database.
async fn lock_page(db: &mut PgConnection, batch: &str, page: &[PrunedKey]) -> Result<(), LedgerError> {
    let mut keys: Vec<&PrunedKey> = page.iter().collect();
    keys.sort_unstable();
    let lock = "-- lock_page
        select true
        from unnest($2::text[], $3::text[], $4::bytea[]) with ordinality as k (target, operation, subject, place)
        join registrations r using (target, operation, subject)
        where r.batch = $1
        order by k.place
        for update of r";
    let query = sqlx::query(lock).bind(batch).bind(keys.iter().map(|(target, ..)| target).collect::<Vec<_>>());
    let query = query.bind(keys.iter().map(|(_, operation, _)| operation).collect::<Vec<_>>());
    query.bind(keys.iter().map(|(.., subject)| subject).collect::<Vec<_>>()).execute(db).await?;
    Ok(())
}

/// Locks the counters of a batch in the order that every process uses.
async fn lock_counters(db: &mut PgConnection, batch: &str) -> Result<(), LedgerError> {
    let lock = "-- lock_counters
        select true
        from batch_counters
        where batch = $1
        order by source collate \"C\", status collate \"C\", code collate \"C\"
        for update";
    sqlx::query(lock).bind(batch).execute(db).await?;
    Ok(())
}

/// Drops locked rows and subtracts them from the counters.
async fn drop_rows(db: &mut PgConnection, batch: &str, page: &[PrunedKey]) -> Result<u64, LedgerError> {
    let delete = "-- prune_rows
        delete from registrations r
        using unnest($2::text[], $3::text[], $4::bytea[]) as k (target, operation, subject)
        where r.batch = $1 and (r.target, r.operation, r.subject) = (k.target, k.operation, k.subject)
            and (r.request is null or (r.waits_for is null and r.sent_again_at is null))
        returning r.source, r.status, r.code, r.status_differs";
    let dropped = sqlx::query(delete)
        .bind(batch)
        .bind(page.iter().map(|(target, ..)| target).collect::<Vec<_>>())
        .bind(page.iter().map(|(_, operation, _)| operation).collect::<Vec<_>>())
        .bind(page.iter().map(|(.., subject)| subject).collect::<Vec<_>>())
        .fetch_all(&mut *db)
        .await?;
    let mut changes = CounterChanges::default();
    for row in &dropped {
        let status: Status = word("status", &row.try_get::<String, _>("status")?)?;
        let code: Code = word("code", &row.try_get::<String, _>("code")?)?;
        let source: Option<String> = row.try_get("source")?;
        let key = (batch.to_owned(), source.unwrap_or_default(), status.into(), code.as_str());
        changes.change(key, -1, row.try_get("status_differs")?);
    }
    count(db, changes).await?;
    Ok(dropped.len() as u64)
}

fn read(row: &PgRow) -> Result<OldBatch, LedgerError> {
    Ok(OldBatch {
        batch: row.try_get("batch")?,
        n: row.try_get::<i64, _>("n")?.cast_unsigned(),
        n_parked: row.try_get::<i64, _>("n_parked")?.cast_unsigned(),
        last_at: row.try_get("last_at")?,
        last_ago: Duration::try_from_secs_f64(row.try_get("last_ago")?).unwrap_or_default(),
    })
}
