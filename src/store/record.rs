//! Writes how jobs ended: rows, counters and quarantined bodies in one transaction.
//!
//! Every process inserts, locks and counts in key order, so two of them with the same keys cannot deadlock: a
//! transaction that inserts waits only for rows that others insert, one that locks only for rows that others lock.
//! Counters change by what each row was and became, so they always equal a count of the rows.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use super::row::{End, Key, Names, Row, fold};
use super::{Store, StoreError};
use crate::job::{CertificateStatus, Operation};
use crate::outcome::Code;

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// How jobs ended.
    pub rows: Vec<Row>,
    /// The batch sizes that their messages announced.
    pub announced: BTreeMap<String, Option<u64>>,
    /// Messages that were no job.
    pub quarantined: Vec<Quarantined>,
}

/// A message whose body is no job.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// URL of the queue that delivered it.
    pub queue: String,
    /// `MessageId` at SQS.
    pub message_id: String,
    /// Why it is no job, from a closed set.
    pub reason: &'static str,
    /// The reason for people.
    pub detail: String,
    /// The body, with private keys blanked.
    pub body: String,
    /// When it was sent to the queue.
    pub sent_at: OffsetDateTime,
}

impl Page {
    /// Says whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.quarantined.is_empty()
    }
}

impl Store {
    /// Writes a page durably: when this returns, every connection sees it.
    ///
    /// Writing the same page again is harmless, so a caller repeats it after an error of which it does not know
    /// whether the COMMIT went through.
    ///
    /// # Errors
    /// What the server or the connection met; nothing was written, unless the COMMIT itself was in doubt.
    pub async fn record(&self, page: Page) -> Result<(), StoreError> {
        self.timed(async {
            let mut transaction = self.pool.begin().await?;
            write(&mut transaction, page).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

async fn write(db: &mut PgConnection, page: Page) -> Result<(), StoreError> {
    if !page.rows.is_empty() {
        let changes = write_rows(db, &fold(page.rows)).await?;
        count(db, changes).await?;
        announce(db, page.announced).await?;
    }
    quarantine(db, &page.quarantined).await
}

/// Inserts the rows that are new, joins the others into those that are there, and tells what that changed.
async fn write_rows(db: &mut PgConnection, rows: &[Row]) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let inserted = insert_rows(db, rows).await?;
    let inserted: HashSet<Key<'_>> =
        inserted.iter().map(|(b, t, o, s)| (b.as_str(), t.as_str(), (*o).into(), s)).collect();
    let (new, clashing): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| inserted.contains(&row.key()));
    for row in new {
        changes.appears(row);
    }
    if !clashing.is_empty() {
        let there = lock_rows(db, &clashing).await?;
        update_rows(db, &merge(there, &clashing, &mut changes)).await?;
    }
    Ok(changes)
}

/// Joins the new ends into the rows that were there; both are in key order.
fn merge(there: Vec<Row>, new: &[&Row], changes: &mut Changes) -> Vec<Row> {
    let join = |(mut row, new): (Row, &&Row)| {
        changes.disappears(&row);
        row.absorb((*new).clone());
        changes.appears(&row);
        row
    };
    there.into_iter().zip(new).map(join).collect()
}

type OwnedKey = (String, String, Operation, [u8; 32]);

/// Inserts the rows whose key is not there yet and tells which those were.
async fn insert_rows(db: &mut PgConnection, rows: &[Row]) -> Result<Vec<OwnedKey>, StoreError> {
    let columns = Columns::of(rows);
    let inserted = sqlx::query(
        "-- insert_rows
        insert into registrations (
            batch, target, operation, subject, account, region, certificate_id, source, ref, message_id,
            status, code, detail, wanted_status, known_status, request,
            attempts, n_attempts, n_duplicates, other_names, sent_at, received_at, ended_at
        )
        select
            batch, target, operation, subject, account, region, certificate_id, source, ref, message_id,
            status, code, detail, wanted_status, known_status, request::json,
            attempts::jsonb, n_attempts, n_duplicates, other_names::jsonb, sent_at, received_at, ended_at
        from unnest(
            $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::bytea[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::text[], $18::int[], $19::int[], $20::text[], $21::timestamptz[], $22::timestamptz[],
            $23::timestamptz[]
        ) as new (
            batch, target, operation, subject, account, region, certificate_id, source, ref, message_id,
            status, code, detail, wanted_status, known_status, request,
            attempts, n_attempts, n_duplicates, other_names, sent_at, received_at, ended_at
        )
        on conflict do nothing
        returning batch, target, operation, subject",
    )
    .bind(columns.batch)
    .bind(columns.target)
    .bind(columns.operation)
    .bind(columns.subject)
    .bind(columns.account)
    .bind(columns.region)
    .bind(columns.certificate_id)
    .bind(columns.source)
    .bind(columns.reference)
    .bind(columns.message_id)
    .bind(columns.status)
    .bind(columns.code)
    .bind(columns.detail)
    .bind(columns.wanted_status)
    .bind(columns.known_status)
    .bind(columns.request)
    .bind(columns.attempts)
    .bind(columns.n_attempts)
    .bind(columns.n_duplicates)
    .bind(columns.other_names)
    .bind(columns.sent_at)
    .bind(columns.received_at)
    .bind(columns.ended_at)
    .fetch_all(db)
    .await?;
    inserted.iter().map(owned_key).collect()
}

/// Reads and locks the rows of the keys, in key order.
async fn lock_rows(db: &mut PgConnection, rows: &[&Row]) -> Result<Vec<Row>, StoreError> {
    let columns = Columns::of(rows.iter().copied());
    let found = sqlx::query(
        "-- lock_rows
        select r.batch, r.target, r.operation, r.subject, r.account, r.region, r.certificate_id, r.source, r.ref,
            r.message_id, r.code, r.detail, r.wanted_status, r.known_status, r.request::text, r.attempts,
            r.n_attempts, r.n_duplicates, r.other_names, r.sent_at, r.received_at, r.ended_at
        from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) with ordinality
            as k (batch, target, operation, subject, place)
        join registrations r using (batch, target, operation, subject)
        order by k.place
        for update of r",
    )
    .bind(columns.batch)
    .bind(columns.target)
    .bind(columns.operation)
    .bind(columns.subject)
    .fetch_all(db)
    .await?;
    if found.len() != rows.len() {
        // Retention removed some between the two statements: the whole page is written again.
        return Err(StoreError::Database(sqlx::Error::RowNotFound));
    }
    found.iter().map(read_row).collect()
}

/// Writes the merged rows, which are locked.
async fn update_rows(db: &mut PgConnection, rows: &[Row]) -> Result<(), StoreError> {
    let columns = Columns::of(rows);
    sqlx::query(
        "-- update_rows
        update registrations r
        set status = new.status,
            code = new.code,
            detail = new.detail,
            wanted_status = new.wanted_status,
            known_status = new.known_status,
            request = new.request::json,
            attempts = new.attempts::jsonb,
            n_attempts = new.n_attempts,
            n_duplicates = new.n_duplicates,
            other_names = new.other_names::jsonb,
            sent_at = new.sent_at,
            received_at = new.received_at,
            ended_at = new.ended_at,
            recorded_at = case when (r.status, r.code) = (new.status, new.code) then r.recorded_at else now() end
        from unnest(
            $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::int[], $13::int[], $14::text[], $15::timestamptz[],
            $16::timestamptz[], $17::timestamptz[]
        ) as new (
            batch, target, operation, subject, status, code, detail, wanted_status, known_status, request,
            attempts, n_attempts, n_duplicates, other_names, sent_at, received_at, ended_at
        )
        where (r.batch, r.target, r.operation, r.subject) = (new.batch, new.target, new.operation, new.subject)",
    )
    .bind(columns.batch)
    .bind(columns.target)
    .bind(columns.operation)
    .bind(columns.subject)
    .bind(columns.status)
    .bind(columns.code)
    .bind(columns.detail)
    .bind(columns.wanted_status)
    .bind(columns.known_status)
    .bind(columns.request)
    .bind(columns.attempts)
    .bind(columns.n_attempts)
    .bind(columns.n_duplicates)
    .bind(columns.other_names)
    .bind(columns.sent_at)
    .bind(columns.received_at)
    .bind(columns.ended_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Changes the batch counters, all keys in order first, so that every lock is taken in that order.
async fn count(db: &mut PgConnection, changes: Changes) -> Result<(), StoreError> {
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
            last_at = excluded.last_at",
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
    // Not in the statement above: a check constraint sees the row proposed for insertion, with its negative count.
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

/// Notes the batches and the greatest announced size of each.
async fn announce(db: &mut PgConnection, announced: BTreeMap<String, Option<u64>>) -> Result<(), StoreError> {
    let (batches, sizes): (Vec<_>, Vec<_>) =
        announced.into_iter().map(|(batch, n)| (batch, n.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))).unzip();
    sqlx::query(
        "-- announce
        insert into batches as b (batch, announced)
        select batch, announced
        from unnest($1::text[], $2::bigint[]) as new (batch, announced)
        on conflict (batch) do update
        set announced = excluded.announced
        where excluded.announced > coalesce(b.announced, -1)",
    )
    .bind(batches)
    .bind(sizes)
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the bodies that were no job.
async fn quarantine(db: &mut PgConnection, messages: &[Quarantined]) -> Result<(), StoreError> {
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

/// How many rows of one batch, source, status and code came or went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Delta {
    n: i64,
    n_status_differs: i64,
}

/// The key of a counter: batch, source, status, code.
type CounterKey = (String, String, &'static str, &'static str);

/// Changes of counters.
#[derive(Debug, Default)]
struct Changes(BTreeMap<CounterKey, Delta>);

impl Changes {
    fn appears(&mut self, row: &Row) {
        self.add(row, 1);
    }

    fn disappears(&mut self, row: &Row) {
        self.add(row, -1);
    }

    fn add(&mut self, row: &Row, by: i64) {
        let source = row.names.source.clone().unwrap_or_default();
        let key = (row.batch.clone(), source, row.end.status().into(), row.end.code.as_str());
        let delta = self.0.entry(key).or_default();
        delta.n += by;
        delta.n_status_differs += if row.end.status_differs() { by } else { 0 };
    }
}

/// The keys of changed counters, as columns.
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

/// Rows as columns of equal length.
#[derive(Default)]
struct Columns<'a> {
    batch: Vec<&'a str>,
    target: Vec<&'a str>,
    operation: Vec<&'static str>,
    subject: Vec<&'a [u8]>,
    account: Vec<&'a str>,
    region: Vec<&'a str>,
    certificate_id: Vec<Option<&'a [u8]>>,
    source: Vec<Option<&'a str>>,
    reference: Vec<Option<&'a str>>,
    message_id: Vec<&'a str>,
    status: Vec<&'static str>,
    code: Vec<&'static str>,
    detail: Vec<Option<String>>,
    wanted_status: Vec<&'static str>,
    known_status: Vec<Option<&'static str>>,
    request: Vec<Option<&'a str>>,
    attempts: Vec<String>,
    n_attempts: Vec<i32>,
    n_duplicates: Vec<i32>,
    other_names: Vec<String>,
    sent_at: Vec<OffsetDateTime>,
    received_at: Vec<OffsetDateTime>,
    ended_at: Vec<OffsetDateTime>,
}

impl<'a> Columns<'a> {
    fn of(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut columns = Self::default();
        rows.into_iter().for_each(|row| columns.push(row));
        columns
    }

    fn push(&mut self, row: &'a Row) {
        let (batch, target, operation, subject) = row.key();
        self.batch.push(batch);
        self.target.push(target);
        self.operation.push(operation);
        self.subject.push(subject);
        self.account.push(&row.account);
        self.region.push(&row.region);
        self.certificate_id.push(row.certificate_id.as_ref().map(|id| id.0.as_slice()));
        self.source.push(row.names.source.as_deref());
        self.reference.push(row.names.reference.as_deref());
        self.message_id.push(&row.message_id);
        self.attempts.push(storable(&json(&row.attempts)));
        self.n_attempts.push(int(row.n_attempts));
        self.n_duplicates.push(int(row.n_duplicates));
        self.other_names.push(json(&row.other_names));
        self.push_end(&row.end);
    }

    fn push_end(&mut self, end: &'a End) {
        self.status.push(end.status().into());
        self.code.push(end.code.as_str());
        self.detail.push(end.detail.as_deref().map(storable));
        self.wanted_status.push(end.wanted_status.into());
        self.known_status.push(end.known_status.map(Into::into));
        self.request.push(end.request.as_deref());
        self.sent_at.push(end.sent_at);
        self.received_at.push(end.received_at);
        self.ended_at.push(end.ended_at);
    }
}

/// Reads one row of `registrations`.
fn read_row(row: &PgRow) -> Result<Row, StoreError> {
    let (batch, target, operation, subject) = owned_key(row)?;
    let attempts: sqlx::types::Json<_> = row.try_get("attempts")?;
    let other_names: sqlx::types::Json<_> = row.try_get("other_names")?;
    Ok(Row {
        batch,
        target,
        operation,
        subject,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        certificate_id: row.try_get::<Option<[u8; 32]>, _>("certificate_id")?.map(crate::certificate::CertificateId),
        names: Names { reference: row.try_get("ref")?, source: row.try_get("source")? },
        message_id: row.try_get("message_id")?,
        end: read_end(row)?,
        attempts: attempts.0,
        n_attempts: count_of(row.try_get("n_attempts")?),
        n_duplicates: count_of(row.try_get("n_duplicates")?),
        other_names: other_names.0,
    })
}

fn read_end(row: &PgRow) -> Result<End, StoreError> {
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(End {
        code: word::<Code>("code", &row.try_get::<String, _>("code")?)?,
        detail: row.try_get("detail")?,
        wanted_status: word("wanted_status", &row.try_get::<String, _>("wanted_status")?)?,
        known_status: known_status.map(|text| word::<CertificateStatus>("known_status", &text)).transpose()?,
        request: row.try_get("request")?,
        sent_at: row.try_get("sent_at")?,
        received_at: row.try_get("received_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

fn owned_key(row: &PgRow) -> Result<OwnedKey, StoreError> {
    let operation: String = row.try_get("operation")?;
    Ok((row.try_get("batch")?, row.try_get("target")?, word("operation", &operation)?, row.try_get("subject")?))
}

/// Reads one word of a closed set.
pub(super) fn word<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::UnknownWord { column, found: text.to_owned() })
}

/// Text as Postgres takes it: it has no NUL, neither raw nor as a JSON escape in `jsonb`.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}").replace("\\u0000", "\u{fffd}")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain fields always become JSON")
}

fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn count_of(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}
