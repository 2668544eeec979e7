//! Writes outcomes: rows, counters, holds, CAs and quarantined bodies in one transaction (group commit).
//!
//! Every process inserts, locks and counts in key order, so two of them with the same keys cannot deadlock: a
//! transaction that inserts waits only for rows that others insert, one that locks only for rows that others lock.
//! Counters change by what each row was before and after, so they always equal a count of the rows. From the same comes
//! the history.

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};

use super::announcement::announce;
use super::authority::{release_issuers, write_authorities};
use super::columns::{self, OwnedKey, owned_key, read_row};
use super::counters::{CounterChanges, count};
use super::history::{Before, MinuteTally, count_minute};
use super::opening::hold;
use super::queue_readings::mark_queues_not_empty;
use super::row::{Row, RowKey, fold};
use super::written::{Mark, mark_page};
use super::{Ledger, LedgerError, Page, Quarantined, storable, word};
use crate::runtime::crash_point;
use muster_core::outcome::Status;

impl Ledger {
    /// Writes a page durably: when this returns, every connection sees it.
    ///
    /// The mark of a page is its idempotency key: writing the page again changes nothing. So a caller can retry after
    /// an error that leaves it unclear whether the COMMIT succeeded.
    ///
    /// # Errors
    /// After an error nothing was written, unless the COMMIT was in doubt, or it succeeded and only the holds of a
    /// registered CA could not be released.
    pub async fn record(&self, page: &Page) -> Result<(), LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            if is_new(&mut transaction, page).await? {
                write(&mut transaction, page).await?;
            }
            crash_point::reached("before_commit");
            transaction.commit().await?;
            // Outside the transaction: it locks holds without the rows that wait for them.
            release_issuers(db, &page.authorities).await
        })
        .await
    }
}

async fn is_new(db: &mut PgConnection, page: &Page) -> Result<bool, LedgerError> {
    match page.mark {
        Some(mark) => mark_page(db, mark).await,
        None => Ok(true),
    }
}

async fn write(db: &mut PgConnection, page: &Page) -> Result<(), LedgerError> {
    if !page.rows.is_empty() {
        let rows = fold(&page.rows);
        let changes = write_rows(db, &rows.iter().map(Cow::as_ref).collect::<Vec<_>>()).await?;
        count(db, changes.counters).await?;
        count_minute(db, page.mark.map(Mark::writer), &changes.minute).await?;
        announce(db, &page.announced).await?;
        hold(db, page).await?;
        write_authorities(db, &page.authorities).await?;
    }
    quarantine(db, &page.quarantined).await?;
    mark_queues_not_empty(db).await
}

/// What a page changes besides its rows.
#[derive(Default)]
struct Changes<'a> {
    counters: CounterChanges,
    minute: MinuteTally<'a>,
}

/// Inserts the new rows and merges the others into the existing ones. Returns what is to be counted.
async fn write_rows<'a>(db: &mut PgConnection, rows: &[&'a Row]) -> Result<Changes<'a>, LedgerError> {
    let mut changes = Changes::default();
    let inserted = insert_rows(db, rows).await?;
    let inserted: HashSet<RowKey<'_>> =
        inserted.iter().map(|(b, t, o, s)| (b.as_str(), t.as_str(), (*o).into(), s)).collect();
    let (new, clashing): (Vec<&Row>, Vec<&Row>) = rows.iter().copied().partition(|row| inserted.contains(&row.key()));
    for row in new {
        changes.counters.appears(row);
        changes.minute.note(row, None, row);
    }
    if !clashing.is_empty() {
        let existing = lock_rows(db, &clashing).await?;
        update_rows(db, &merge(existing, &clashing, &mut changes)).await?;
    }
    Ok(changes)
}

/// Merges new outcomes into existing rows. Both are in key order.
fn merge<'a>(existing: Vec<(Row, Status)>, new: &[&'a Row], changes: &mut Changes<'a>) -> Vec<Row> {
    let join = |((mut row, status), new): ((Row, Status), &&'a Row)| {
        let before = Before::of(&row, status);
        changes.counters.disappears(&row, status);
        row.absorb((*new).clone());
        changes.counters.appears(&row);
        changes.minute.note(new, Some(before), &row);
        row
    };
    existing.into_iter().zip(new).map(join).collect()
}

/// Inserts the rows whose key does not exist yet. Returns the keys of these.
async fn insert_rows(db: &mut PgConnection, rows: &[&Row]) -> Result<Vec<OwnedKey>, LedgerError> {
    let inserted = columns::insert(rows).fetch_all(db).await?;
    inserted.iter().map(owned_key).collect()
}

/// Reads and locks the rows with these keys, in key order, each with the status under which it is counted.
async fn lock_rows(db: &mut PgConnection, rows: &[&Row]) -> Result<Vec<(Row, Status)>, LedgerError> {
    let found = columns::lock(rows).fetch_all(db).await?;
    if found.len() != rows.len() {
        // Pruning removed some between the two statements: the caller writes the whole page again.
        return Err(LedgerError::Database(sqlx::Error::RowNotFound));
    }
    let read = |row| Ok((read_row(row)?, word("status", &row.try_get::<String, _>("status")?)?));
    found.iter().map(read).collect()
}

/// Writes merged rows. The caller must have locked them.
pub(super) async fn update_rows(db: &mut PgConnection, rows: &[Row]) -> Result<(), LedgerError> {
    columns::update(&rows.iter().collect::<Vec<_>>()).execute(db).await?;
    Ok(())
}

/// Stores the messages that are not jobs.
async fn quarantine(db: &mut PgConnection, messages: &[Quarantined]) -> Result<(), LedgerError> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut messages: Vec<_> = messages.iter().collect();
    messages.sort_by_key(|message| (&message.queue, &message.message_id));
    sqlx::query(
        "-- quarantine
        insert into quarantine (queue, message_id, reason, detail, body, sent_at)
        select *
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[])
        on conflict do nothing",
    )
    .bind(messages.iter().map(|m| m.queue.as_str()).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| m.message_id.as_str()).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| m.reason).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| storable(&m.detail)).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| m.body.as_bytes()).collect::<Vec<_>>())
    .bind(messages.iter().map(|m| m.sent_at).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
