//! The batch counters, kept in the transaction that writes the rows.
//!
//! Each change is derived from what a row was before and after the write, so the counters always equal a count of the
//! rows.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::LedgerError;
use super::row::Row;
use muster_core::outcome::Status;

/// By how much the counter of one batch, source, status and code changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Delta {
    n: i64,
    n_status_differs: i64,
}

/// The key of a counter: batch, source, status, code.
pub(super) type CounterKey = (String, String, &'static str, &'static str);

/// Changes of counters.
#[derive(Debug, Default)]
pub(super) struct CounterChanges(BTreeMap<CounterKey, Delta>);

impl CounterChanges {
    /// Counts a row that now exists.
    pub(super) fn appears(&mut self, row: &Row) {
        self.add(row, row.outcome.status(), 1);
    }

    /// Subtracts a row as it was before a change or removal. `status` is its status in the database, as it was counted.
    pub(super) fn disappears(&mut self, row: &Row, status: Status) {
        self.add(row, status, -1);
    }

    fn add(&mut self, row: &Row, status: Status, by: i64) {
        let source = row.names.source.clone().unwrap_or_default();
        let key = (row.batch.clone(), source, status.into(), row.outcome.code.as_str());
        self.change(key, by, row.outcome.status_differs());
    }

    /// Adds `by` rows to one counter; negative to subtract.
    pub(super) fn change(&mut self, key: CounterKey, by: i64, status_differs: bool) {
        let delta = self.0.entry(key).or_default();
        delta.n += by;
        delta.n_status_differs += if status_differs { by } else { 0 };
    }
}

/// Keys of changed counters, as columns.
#[derive(Default)]
struct CounterKeys<'a> {
    batch: Vec<&'a str>,
    source: Vec<&'a str>,
    status: Vec<&'a str>,
    code: Vec<&'a str>,
}

impl<'a> CounterKeys<'a> {
    fn of(changes: &'a [(CounterKey, Delta)]) -> Self {
        let mut keys = Self::default();
        for ((batch, source, status, code), _) in changes {
            keys.batch.push(batch);
            keys.source.push(source);
            keys.status.push(status);
            keys.code.push(code);
        }
        keys
    }
}

/// Changes the batch counters. The first statement touches every key in order, so all locks are taken in that order.
pub(super) async fn count(db: &mut PgConnection, changes: CounterChanges) -> Result<(), LedgerError> {
    let changes: Vec<_> = changes.0.into_iter().filter(|(_, delta)| *delta != Delta::default()).collect();
    let keys = CounterKeys::of(&changes);
    sqlx::query(
        "-- count_up
        insert into batch_counters as c (batch, source, status, code, n, n_status_differs, first_at, last_at)
        select batch, source, status, code, n, n_status_differs, now(), now()
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
            as new (batch, source, status, code, n, n_status_differs)
        on conflict (batch, source, status, code) do update
        set n = c.n + excluded.n,
            n_status_differs = c.n_status_differs + excluded.n_status_differs,
            -- A removal, as by `prune`, is not an outcome.
            last_at = case when excluded.n + excluded.n_status_differs > 0 then excluded.last_at else c.last_at end",
    )
    .bind(&keys.batch)
    .bind(&keys.source)
    .bind(&keys.status)
    .bind(&keys.code)
    .bind(changes.iter().map(|(_, delta)| delta.n.max(0)).collect::<Vec<_>>())
    .bind(changes.iter().map(|(_, delta)| delta.n_status_differs.max(0)).collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    if changes.iter().all(|(_, delta)| delta.n >= 0 && delta.n_status_differs >= 0) {
        return Ok(());
    }
    // Not in the statement above: a check constraint also sees the row proposed for insertion, with a negative count.
    sqlx::query(
        "-- count_down
        update batch_counters c
        set n = c.n + down.n, n_status_differs = c.n_status_differs + down.n_status_differs
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
            as down (batch, source, status, code, n, n_status_differs)
        where (c.batch, c.source, c.status, c.code) = (down.batch, down.source, down.status, down.code)",
    )
    .bind(&keys.batch)
    .bind(&keys.source)
    .bind(&keys.status)
    .bind(&keys.code)
    .bind(changes.iter().map(|(_, delta)| delta.n.min(0)).collect::<Vec<_>>())
    .bind(changes.iter().map(|(_, delta)| delta.n_status_differs.min(0)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
