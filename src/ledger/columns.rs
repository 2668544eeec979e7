//! The columns of `registrations`, each listed once: name, types, when it is written, and its value in a [`Row`].
//!
//! Every statement that writes or reads whole rows is built from [`COLUMNS`]. A new column needs a line there, a field
//! of [`Row`] (the compiler then asks for its value in [`read_row`]) and a migration.

use std::sync::LazyLock;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use super::row::{Names, Row, RowOutcome};
use super::{LedgerError, storable, storable_json, word};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::Code;

/// The key of a row that was read back.
pub(super) type OwnedKey = (String, String, Operation, [u8; 32]);

/// A statement that takes whole columns as arrays.
pub(super) type BulkQuery<'q> = Query<'q, Postgres, PgArguments>;

/// Binds the values that some rows have in one column.
type Bind = for<'q> fn(BulkQuery<'q>, &[&'q Row]) -> BulkQuery<'q>;

/// One column.
struct Column {
    name: &'static str,
    /// The type of its values in an array.
    array_of: &'static str,
    /// What a value is cast to on its way into the table; empty if it has that type already.
    cast: &'static str,
    written: Written,
    bind: Bind,
}

/// When a column is written.
#[derive(Clone, Copy, PartialEq)]
enum Written {
    /// It is part of the primary key.
    Key,
    /// With the first outcome only.
    Once,
    /// With every outcome that is merged into the row.
    Always,
}

use Written::{Always, Key, Once};

/// A [`Column`] from its name, its type (maybe with a cast), when it is written, and its value.
macro_rules! column {
    ($name:literal, $array_of:literal $(as $cast:literal)?, $written:ident, |$row:ident| $value:expr) => {
        Column {
            name: $name,
            array_of: $array_of,
            cast: concat!($("::", $cast)?),
            written: $written,
            bind: |query, rows| query.bind(rows.iter().map(|&$row| $value).collect::<Vec<_>>()),
        }
    };
}

/// Every column that Muster writes. The database itself sets `recorded_at`, and replays set `replay`.
static COLUMNS: [Column; 28] = [
    column!("batch", "text", Key, |row| row.key().0),
    column!("target", "text", Key, |row| row.key().1),
    column!("operation", "text", Key, |row| row.key().2),
    column!("subject", "bytea", Key, |row| row.key().3.as_slice()),
    column!("account", "text", Once, |row| row.account.as_str()),
    column!("region", "text", Once, |row| row.region.as_str()),
    column!("certificate_id", "bytea", Once, |row| row.certificate_id.as_ref().map(|id| id.0.as_slice())),
    column!("source", "text", Once, |row| row.names.source.as_deref()),
    column!("ref", "text", Once, |row| row.names.reference.as_deref()),
    column!("serial", "bytea", Always, |row| row.serial.as_deref()),
    // A certificate that was not registered is kept in its request.
    column!("certificate", "bytea", Always, |row| {
        row.certificate.as_deref().filter(|_| row.outcome.status().is_success())
    }),
    column!("message_id", "text", Always, |row| row.message_id.as_str()),
    column!("status", "text", Always, |row| <&str>::from(row.outcome.status())),
    column!("code", "text", Always, |row| row.outcome.code.as_str()),
    column!("detail", "text", Always, |row| row.outcome.detail.as_deref().map(storable)),
    column!("wanted_status", "text", Always, |row| <&str>::from(row.outcome.wanted_status)),
    column!("known_status", "text", Always, |row| row.outcome.known_status.map(<&str>::from)),
    column!("request", "text" as "json", Always, |row| row.outcome.request.as_deref()),
    column!("attempts", "text" as "jsonb", Always, |row| storable_json(json(&row.attempts))),
    column!("n_attempts", "int", Always, |row| int(row.n_attempts)),
    column!("n_duplicates", "int", Always, |row| int(row.n_duplicates)),
    column!("other_names", "text" as "jsonb", Always, |row| storable_json(json(&row.other_names))),
    column!("sent_at", "timestamptz", Always, |row| row.outcome.sent_at),
    column!("received_at", "timestamptz", Always, |row| row.outcome.received_at),
    column!("ended_at", "timestamptz", Always, |row| row.outcome.ended_at),
    column!("waits_for", "text", Always, |row| row.outcome.waits_for.as_ref().map(HoldKey::as_str)),
    column!("verify", "bool", Always, |row| row.outcome.verify),
    column!("sent_again_at", "timestamptz", Always, |row| row.outcome.resent_at),
];

/// What [`read_row`] reads of a row of the table `r`.
pub(super) static SELECT: LazyLock<String> = LazyLock::new(|| {
    listed(COLUMNS.iter(), |column| match column.name {
        // sqlx reads `json` as text only if it is text.
        "request" => "r.request::text as request".to_owned(),
        name => format!("r.{name}"),
    })
});

/// Inserts rows whose key is new, and returns the keys of these.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let (names, keys) = (listed(COLUMNS.iter(), name), listed(keys(), name));
    let values = listed(COLUMNS.iter(), |column| format!("{}{}", column.name, column.cast));
    format!(
        "-- insert_rows
        insert into registrations ({names})
        select {values}
        from {}
        on conflict do nothing
        returning {keys}",
        unnest(COLUMNS.iter())
    )
});

/// Reads and locks rows, in the order of the given keys.
static LOCK: LazyLock<String> = LazyLock::new(|| {
    let (select, names, arrays) = (SELECT.as_str(), listed(keys(), name), arrays(keys()));
    format!(
        "-- lock_rows
        select {select}
        from unnest({arrays}) with ordinality as k ({names}, position)
        join registrations r using ({names})
        order by k.position
        for update of r"
    )
});

/// Overwrites rows with what was merged into them.
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let assignments = listed(merged(), |column| format!("{} = new.{}{}", column.name, column.name, column.cast));
    let [old_key, new_key] = ["r", "new"].map(|table| listed(keys(), |column| format!("{table}.{}", column.name)));
    format!(
        "-- update_rows
        update registrations r
        set {assignments},
            recorded_at = case when (r.status, r.code) = (new.status, new.code) then r.recorded_at else now() end
        from {}
        where ({old_key}) = ({new_key})",
        unnest(keys().chain(merged()))
    )
});

/// The statement that inserts these rows.
pub(super) fn insert<'q>(rows: &[&'q Row]) -> BulkQuery<'q> {
    bulk(&INSERT, COLUMNS.iter(), rows)
}

/// The statement that locks these rows.
pub(super) fn lock<'q>(rows: &[&'q Row]) -> BulkQuery<'q> {
    bulk(&LOCK, keys(), rows)
}

/// The statement that overwrites these rows.
pub(super) fn update<'q>(rows: &[&'q Row]) -> BulkQuery<'q> {
    bulk(&UPDATE, keys().chain(merged()), rows)
}

fn bulk<'q>(sql: &'static str, columns: impl Iterator<Item = &'static Column>, rows: &[&'q Row]) -> BulkQuery<'q> {
    columns.fold(sqlx::query(AssertSqlSafe(sql)), |query, column| (column.bind)(query, rows))
}

fn keys() -> impl Iterator<Item = &'static Column> + Clone {
    COLUMNS.iter().filter(|column| column.written == Key)
}

fn merged() -> impl Iterator<Item = &'static Column> + Clone {
    COLUMNS.iter().filter(|column| column.written == Always)
}

fn name(column: &Column) -> String {
    column.name.to_owned()
}

fn listed(columns: impl Iterator<Item = &'static Column>, text: impl Fn(&Column) -> String) -> String {
    columns.map(text).collect::<Vec<_>>().join(", ")
}

/// Numbered parameters, one array a column.
fn arrays(columns: impl Iterator<Item = &'static Column>) -> String {
    let arrays = columns.zip(1..).map(|(column, n)| format!("${n}::{}[]", column.array_of));
    arrays.collect::<Vec<_>>().join(", ")
}

/// The table `new` of the bound arrays.
fn unnest(columns: impl Iterator<Item = &'static Column> + Clone) -> String {
    format!("unnest({}) as new ({})", arrays(columns.clone()), listed(columns, name))
}

/// A key whose operation may be one that this version does not know.
pub(super) type KeyTexts<'a> = (&'a str, &'a str, &'a str, &'a [u8]);

/// The keys of some rows, as columns.
#[derive(Default)]
pub(super) struct KeyColumns<'a> {
    batch: Vec<&'a str>,
    target: Vec<&'a str>,
    operation: Vec<&'a str>,
    subject: Vec<&'a [u8]>,
}

impl<'a> KeyColumns<'a> {
    pub(super) fn of(keys: impl IntoIterator<Item = KeyTexts<'a>>) -> Self {
        let mut columns = Self::default();
        for (batch, target, operation, subject) in keys {
            columns.batch.push(batch);
            columns.target.push(target);
            columns.operation.push(operation);
            columns.subject.push(subject);
        }
        columns
    }

    /// Binds them in their order, as `text[]` and the subject as `bytea[]`.
    pub(super) fn bind_to(self, query: BulkQuery<'a>) -> BulkQuery<'a> {
        query.bind(self.batch).bind(self.target).bind(self.operation).bind(self.subject)
    }
}

/// Reads one row of `registrations`.
pub(super) fn read_row(row: &PgRow) -> Result<Row, LedgerError> {
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
        certificate_id: row.try_get::<Option<[u8; 32]>, _>("certificate_id")?.map(CertificateId),
        serial: row.try_get("serial")?,
        certificate: row.try_get("certificate")?,
        names: Names { reference: row.try_get("ref")?, source: row.try_get("source")? },
        message_id: row.try_get("message_id")?,
        outcome: read_outcome(row)?,
        attempts: attempts.0,
        n_attempts: count_of(row.try_get("n_attempts")?),
        n_duplicates: count_of(row.try_get("n_duplicates")?),
        other_names: other_names.0,
    })
}

fn read_outcome(row: &PgRow) -> Result<RowOutcome, LedgerError> {
    let known_status: Option<String> = row.try_get("known_status")?;
    Ok(RowOutcome {
        code: word::<Code>("code", &row.try_get::<String, _>("code")?)?,
        detail: row.try_get("detail")?,
        wanted_status: word("wanted_status", &row.try_get::<String, _>("wanted_status")?)?,
        known_status: known_status.map(|text| word::<CertificateStatus>("known_status", &text)).transpose()?,
        request: row.try_get("request")?,
        waits_for: row.try_get::<Option<String>, _>("waits_for")?.map(HoldKey::read),
        verify: row.try_get("verify")?,
        resent_at: row.try_get("sent_again_at")?,
        sent_at: row.try_get("sent_at")?,
        received_at: row.try_get("received_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

pub(super) fn owned_key(row: &PgRow) -> Result<OwnedKey, LedgerError> {
    let operation: String = row.try_get("operation")?;
    Ok((row.try_get("batch")?, row.try_get("target")?, word("operation", &operation)?, row.try_get("subject")?))
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
