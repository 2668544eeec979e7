//! The migration to an index over a hash of the serial number, on a ledger in use.

use std::time::Duration;

use muster::ledger::Ledger;
use muster::ledger::rate_limit::Quota;
use muster_core::account::Account;
use muster_core::job::Operation;
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::ledger::{record, row};

/// How long a test waits for an event.
const PATIENCE: Duration = Duration::from_mins(1);

/// Returns a ledger as version 7 left it.
async fn at_version_7() -> Database {
    let database = Database::fresh().await;
    let rewind = "drop index if exists certificates_by_serial;
        drop index if exists certificates_of_a_serial;
        create index certificates_of_a_serial on registrations (serial) where serial is not null";
    sqlx::raw_sql(rewind).execute(&database.pool).await.unwrap();
    forget_steps_after(&database, 7).await;
    database
}

/// Returns a ledger as version 11 left it.
async fn at_version_11() -> Database {
    let database = Database::fresh().await;
    forget_steps_after(&database, 11).await;
    database
}

/// Undoes the migrations after `version`; of versions 8 and 9, only the record that they ran.
async fn forget_steps_after(database: &Database, version: i64) {
    const UNDO: [(i64, &str); 10] = [
        (10, "alter table replays drop column if exists n_not_sent"),
        (11, "drop table if exists page_writers"),
        (12, "alter table rate_limits drop column if exists good_rate"),
        (
            13,
            "alter table rate_limits drop column if exists next_probe; alter table holds drop column if exists n_probes",
        ),
        (14, "alter table rate_limits drop column if exists leased_at"),
        (
            15,
            "drop table if exists workers, missing_counts;
            alter table holds drop column if exists subject;
            alter table batches drop column if exists announced_at;
            alter table queue_readings drop column if exists n_messages, drop column if exists n_dead",
        ),
        (18, "drop table if exists minute_counts"),
        (19, "drop table if exists bulk_changes"),
        (20, "drop table if exists sessions"),
        (21, "drop index if exists failed_counters"),
    ];
    for (_, undo) in UNDO.into_iter().filter(|(step, _)| *step > version) {
        sqlx::raw_sql(undo).execute(&database.pool).await.unwrap();
    }
    let forget = "delete from _sqlx_migrations where version > $1";
    sqlx::query(forget).bind(version).execute(&database.pool).await.unwrap();
}

/// Records an outcome as a worker of version 7 does.
async fn record_as_version_7(database: &Database, n: u32) {
    let insert = "insert into registrations (
            batch, target, operation, subject, account, region, certificate_id, serial, message_id, status, code,
            wanted_status, known_status, n_attempts, sent_at, received_at, ended_at
        )
        values (
            'batch', 'default', 'RegisterCertificate', $1, '000000000000', 'us-east-1', $1, $2, 'm', 'registered', 'ok',
            'ACTIVE', 'ACTIVE', 1, now(), now(), now()
        )";
    let subject = [n.to_be_bytes(); 8].concat();
    sqlx::query(insert).bind(subject).bind(n.to_be_bytes().as_slice()).execute(&database.pool).await.unwrap();
}

/// Returns the indexes over a serial number, and whether each is valid.
async fn serial_indexes(database: &Database) -> Vec<(String, bool)> {
    let query = "select indexrelid::regclass::text, indisvalid
        from pg_index
        where indrelid = 'registrations'::regclass and pg_get_indexdef(indexrelid) like '%serial%'";
    sqlx::query_as(query).fetch_all(&database.pool).await.unwrap()
}

fn new_index() -> Vec<(String, bool)> {
    vec![("certificates_by_serial".to_owned(), true)]
}

async fn migrate(ledger: Ledger) {
    tokio::time::timeout(PATIENCE, ledger.migrate()).await.expect("the migration does not finish").unwrap();
}

/// Waits until `n` other sessions are in a state.
async fn until_some_session(database: &Database, state: &str, n: i64) {
    let query = format!(
        "select count(*) >= $1
        from pg_stat_activity
        where {state} and datname = current_database() and pid <> pg_backend_pid()"
    );
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(query.as_str()))
            .bind(n)
            .fetch_one(&database.pool)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(state);
}

/// Premise: a report or a backup reads the table for minutes. A lock request that waits behind it would block every
/// writer.
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_recorded_while_the_migration_waits_for_a_long_reader() {
    let database = at_version_7().await;
    record_as_version_7(&database, 1).await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    reader.execute("begin isolation level repeatable read; select count(*) from registrations").await.unwrap();
    let migrating = tokio::spawn(migrate(database.ledger().await));
    until_some_session(&database, "wait_event_type = 'Lock' and query like '%concurrently%'", 1).await;
    for n in 2..20 {
        record_as_version_7(&database, n).await;
    }
    assert!(!migrating.is_finished());
    reader.execute("commit").await.unwrap();
    migrating.await.unwrap();
    assert_eq!(serial_indexes(&database).await, new_index());
    let ledger = database.ledger().await;
    for n in [1_u32, 19] {
        assert_eq!(ledger.entries_of_serial(&[n.to_be_bytes().to_vec()], 10).await.unwrap().len(), 1);
    }
}

/// Premise: an index whose concurrent build was interrupted exists, but is not valid.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_with_an_interrupted_build_is_rebuilt() {
    let database = Database::fresh().await;
    record(&database.ledger().await, vec![row(1, Code::Ok)]).await;
    let cut_off = "update pg_index set indisvalid = false where indexrelid = 'certificates_by_serial'::regclass";
    sqlx::raw_sql(cut_off).execute(&database.pool).await.unwrap();
    forget_steps_after(&database, 7).await;
    migrate(database.ledger().await).await;
    assert_eq!(serial_indexes(&database).await, new_index());
}

/// Premise: a concurrent index build waits for every older snapshot, including that of a process that waits for its
/// turn to migrate.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_do_not_deadlock() {
    let database = at_version_7().await;
    // The first process's index build waits for this writer until the other processes wait for their turn.
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    writer.execute("begin; lock table registrations in row exclusive mode").await.unwrap();
    let mut processes = JoinSet::new();
    for _ in 0..4 {
        processes.spawn(migrate(database.ledger().await));
    }
    until_some_session(&database, "wait_event_type = 'Lock' and query like '%concurrently%'", 1).await;
    // Without turns they would now be about to drop the index under construction.
    until_some_session(&database, "query ~ 'advisory_xact_lock|drop_broken_index'", 3).await;
    writer.execute("commit").await.unwrap();
    while let Some(joined) = processes.join_next().await {
        joined.unwrap();
    }
    assert_eq!(serial_indexes(&database).await, new_index());
}

/// Premise: a long reader of a table that a migration changes. Writers must not wait longer than the migration's own
/// lock timeout.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waiting_for_a_long_reader_does_not_block_writers() {
    let database = at_version_11().await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    reader.execute("begin isolation level repeatable read; select count(*) from rate_limits").await.unwrap();
    let migrating = tokio::spawn(migrate(database.ledger().await));
    let waits = "wait_event_type = 'Lock' and query like '%rate_limits%'";
    until_some_session(&database, waits, 1).await;
    let write = "insert into rate_limits (account, region, operation, ceiling, rate, noted_rate, next_free)
        values ('123456789012', 'us-east-1', 'RegisterCertificate', 1, 1, 1, now())";
    let written = tokio::time::timeout(PATIENCE, sqlx::query(write).execute(&database.pool));
    written.await.expect("the migration blocks writers").unwrap();
    assert!(!migrating.is_finished(), "the reader still holds its lock");
    reader.execute("rollback").await.unwrap();
    migrating.await.unwrap();
    database.ledger().await.check_schema().await.unwrap();
}

/// Makes every later connection to a database start with a setting.
async fn set_default(database: &Database, setting: &str) {
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&database.pool).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("alter database {name} set {setting}"))).execute(&database.pool).await.unwrap();
}

/// A timeout that the role sets for statements, locks or transactions must not apply to building an index over a large
/// ledger.
#[tokio::test(flavor = "multi_thread")]
async fn role_timeouts_do_not_cancel_a_migration() {
    let database = at_version_7().await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    reader.execute("begin isolation level repeatable read; select count(*) from registrations").await.unwrap();
    for time_out in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        set_default(&database, &format!("{time_out} = '300ms'")).await;
    }
    let migrating = tokio::spawn(migrate(database.ledger().await));
    until_some_session(&database, "wait_event_type = 'Lock' and query like '%concurrently%'", 1).await;
    let long = "wait_event_type = 'Lock' and query like '%concurrently%' and query_start < now() - interval '1 second'";
    until_some_session(&database, long, 1).await;
    reader.execute("rollback").await.unwrap();
    migrating.await.unwrap();
    assert_eq!(serial_indexes(&database).await, new_index());
}

/// Makes an index look like one whose build was interrupted.
async fn break_index(database: &Database) {
    let query = "update pg_index set indisvalid = false where indexrelid = 'certificates_by_serial'::regclass";
    sqlx::query(query).execute(&database.pool).await.unwrap();
}

/// Premise: a build that does not get its lock leaves an invalid index behind, which `if not exists` takes for a valid
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_rebuilds_an_index_left_invalid_by_the_last_try() {
    let database = at_version_11().await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    reader.execute("begin isolation level repeatable read; select count(*) from rate_limits").await.unwrap();
    let migrating = tokio::spawn(migrate(database.ledger().await));
    until_some_session(&database, "wait_event_type = 'Lock' and query like '%rate_limits%'", 1).await;
    break_index(&database).await;
    let dropped = async {
        while !serial_indexes(&database).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.expect("the next try takes the invalid index for a valid one");
    reader.execute("rollback").await.unwrap();
    migrating.await.unwrap();
    assert_eq!(serial_indexes(&database).await, new_index());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_rebuilds_invalid_and_missing_indexes() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let broken = async || ledger.server().await.unwrap().broken_indexes;
    assert_eq!(broken().await, Vec::<String>::new());
    break_index(&database).await;
    assert_eq!(broken().await, ["certificates_by_serial"]);
    migrate(database.ledger().await).await;
    assert_eq!(serial_indexes(&database).await, new_index());
    sqlx::query("drop index certificates_by_serial").execute(&database.pool).await.unwrap();
    assert_eq!(broken().await, ["certificates_by_serial"]);
    migrate(database.ledger().await).await;
    assert_eq!((serial_indexes(&database).await, broken().await), (new_index(), vec![]));
}

/// Premise: at these isolation levels a transaction keeps its snapshot until it ends, and a concurrent index build
/// waits for all older snapshots, including that of the transaction in which the process holds its turn.
#[tokio::test(flavor = "multi_thread")]
async fn migrations_work_at_any_default_isolation_level() {
    for isolation in ["repeatable read", "serializable"] {
        let database = at_version_7().await;
        set_default(&database, &format!("default_transaction_isolation = '{isolation}'")).await;
        migrate(database.ledger().await).await;
        assert_eq!(serial_indexes(&database).await, new_index(), "{isolation}");
    }
}

/// Premise: at these isolation levels a transaction that waited for a row changed by another one fails (SQLSTATE
/// 40001).
#[tokio::test(flavor = "multi_thread")]
async fn leases_work_at_serializable_default_isolation() {
    let database = Database::fresh().await;
    set_default(&database, "default_transaction_isolation = 'serializable'").await;
    let account = Account { id: "123456789012".into(), region: "us-east-1".into() };
    let quota = Quota { account, operation: Operation::RegisterCertificate };
    database.ledger().await.open_quota(&quota, Rate::new(1000.0).unwrap()).await.unwrap();
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (ledger, quota) = (database.ledger().await, quota.clone());
        workers.spawn(async move {
            for _ in 0..50 {
                ledger.lease(&quota, 1).await.unwrap();
            }
        });
    }
    while let Some(joined) = workers.join_next().await {
        joined.unwrap();
    }
}

/// Premise: a concurrent index build waits for the end of every transaction that had a snapshot when it started. A
/// process that asked for its turn in one long transaction waited for the builder, and the builder for it.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_to_migrate_starts_a_new_transaction_for_each_try() {
    let database = at_version_11().await;
    let mut turn = PgConnection::connect(&database.url).await.unwrap();
    sqlx::query("select pg_advisory_lock($1)").bind(0x006d_7573_7465_7200_i64).execute(&mut turn).await.unwrap();
    let waiting = tokio::spawn(migrate(database.ledger().await));
    let query = "select xact_start::text
        from pg_stat_activity
        where query like '-- acquire_lock%' and xact_start is not null and datname = current_database()";
    let mut starts_seen = std::collections::BTreeSet::new();
    let asking = async {
        while starts_seen.len() < 3 {
            let starts: Vec<String> = sqlx::query_scalar(query).fetch_all(&database.pool).await.unwrap();
            starts_seen.extend(starts);
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the process waits in a single transaction");
    turn.close().await.unwrap();
    waiting.await.unwrap();
}
