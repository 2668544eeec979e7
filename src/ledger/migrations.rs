//! The schema's steps, forward only, embedded in the binary.
//!
//! A step runs in a transaction, unless its first line says otherwise: an index of a large table is built and dropped
//! `concurrently`, beside live work, which Postgres does outside a transaction only. Such a step holds one statement.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};
use tokio::time::Instant;
use tracing::{info, warn};

use super::error::{POOLER_CODES, POOLER_HINT};
use super::{Ledger, LedgerError};
use crate::runtime::causes;
use muster_core::format::span;

/// Version, name and text of every step in `migrations/`; a test compares the list with the folder.
const STEPS: [(i64, &str, &str); 16] = [
    (1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    (2, "recent_batches", include_str!("../../migrations/0002_recent_batches.sql")),
    (3, "holds", include_str!("../../migrations/0003_holds.sql")),
    (4, "rate_limits", include_str!("../../migrations/0004_rate_limits.sql")),
    (5, "authorities", include_str!("../../migrations/0005_authorities.sql")),
    (6, "operators", include_str!("../../migrations/0006_operators.sql")),
    (7, "listings", include_str!("../../migrations/0007_listings.sql")),
    (8, "certificates_by_serial", include_str!("../../migrations/0008_certificates_by_serial.sql")),
    (9, "drop_certificates_of_a_serial", include_str!("../../migrations/0009_drop_certificates_of_a_serial.sql")),
    (10, "replays_not_sent", include_str!("../../migrations/0010_replays_not_sent.sql")),
    (11, "page_writers", include_str!("../../migrations/0011_page_writers.sql")),
    (12, "good_rates", include_str!("../../migrations/0012_good_rates.sql")),
    (13, "probe_budget", include_str!("../../migrations/0013_probe_budget.sql")),
    (14, "leased_at", include_str!("../../migrations/0014_leased_at.sql")),
    (15, "fleet", include_str!("../../migrations/0015_fleet.sql")),
    (16, "parked_counters", include_str!("../../migrations/0016_parked_counters.sql")),
];

/// First line of a step that runs outside a transaction; sqlx's own files have the same.
const NO_TRANSACTION: &str = "-- no-transaction\n";

/// How a step begins that builds an index beside live work.
const BUILD: &str = "create index concurrently if not exists ";

/// The advisory lock of the process whose turn it is to migrate.
const TURN: i64 = 0x006d_7573_7465_7200;

/// How often a process that waits for its turn asks for it, and how long it does.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TURN_MAX: Duration = Duration::from_mins(30);

/// How a step in a transaction begins. Whoever waits for an exclusive lock on a table holds up everybody who comes later, so
/// none is waited for long; a time-out of the role's is for other statements.
const PREAMBLE: &str = "set local statement_timeout = 0; set local lock_timeout = '2s';\n";

/// How long others may work before a step asks for its locks again, and how often it asks.
const LOCK_PAUSE: Duration = Duration::from_secs(3);
const LOCK_ATTEMPTS: u32 = 360;

/// Settings of a role or a database that would cut a step off; a server of an older version lacks some of them.
const TIME_OUTS: [&str; 4] =
    ["statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"];

/// Whether time-outs are lifted for the transaction only.
const IN_TRANSACTION: bool = true;
const IN_SESSION: bool = false;

/// Whether steps are only noted as taken.
const SKIP: bool = false;

/// The SQLSTATE of a lock that was not got in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl Ledger {
    /// Brings the schema to this program's version; does nothing where it is there already.
    ///
    /// Several processes may do this at once: an advisory lock lets one work at a time. There is no time-out for a step:
    /// building an index over a large ledger takes minutes.
    ///
    /// # Errors
    /// [`LedgerError::Schema`] where a step fails, the schema is newer than this program, or another process migrates or uses
    /// a table for too long.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        // Connections of their own, out of the pool: what is set for them ends with them.
        let mut turn = self.pool.acquire().await?.detach();
        let mut db = self.pool.acquire().await?.detach();
        wait_for_turn(&mut turn).await?;
        let migrated = take_steps(&mut db).await;
        sqlx::raw_sql("-- end_of_turn\nrollback").execute(&mut turn).await?;
        let _ = tokio::join!(db.close(), turn.close());
        migrated
    }

    /// Checks that every step of this program has been taken. Further, newer steps are fine: they only add.
    ///
    /// # Errors
    /// [`LedgerError::Schema`] names the version found and wanted.
    pub async fn check_schema(&self) -> Result<(), LedgerError> {
        let wanted = STEPS.last().map_or(0, |step| step.0);
        let found = self.run(schema_version).await?;
        if found >= wanted {
            return Ok(());
        }
        Err(LedgerError::Schema(format!("version {found} found, {wanted} wanted; run `muster migrate`")))
    }
}

/// Waits until no other process migrates, and leaves a transaction open that holds the turn. The lock ends with its
/// transaction: behind a pooler a session goes on when its client is gone, and would keep a lock of its own for ever.
///
/// It asks again and again, each time in a new transaction. Whoever builds an index concurrently waits for the end of every
/// transaction that had an older snapshot, and a statement has one: a transaction that went on asking would wait for the
/// builder, and the builder for it.
async fn wait_for_turn(db: &mut PgConnection) -> Result<(), LedgerError> {
    // In any other isolation the transaction keeps a snapshot, for which our own build would wait.
    const BEGIN: &str = "-- begin_turn\nbegin isolation level read committed";
    let ask = "-- wait_for_turn\nselect pg_try_advisory_xact_lock($1)";
    let began = Instant::now();
    let mut has_waited = false;
    loop {
        sqlx::raw_sql(BEGIN).execute(&mut *db).await?;
        lift_time_outs(db, IN_TRANSACTION).await?;
        if sqlx::query_scalar(ask).bind(TURN).fetch_one(&mut *db).await? {
            return Ok(());
        }
        sqlx::raw_sql("-- not_my_turn\nrollback").execute(&mut *db).await?;
        if !has_waited {
            info!("waiting for another process that migrates");
        }
        if began.elapsed() > TURN_MAX {
            let text =
                format!("another process has migrated for more than {}; it holds advisory lock {TURN}", span(TURN_MAX));
            return Err(LedgerError::Schema(text));
        }
        has_waited = true;
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Takes the steps that are missing, again while one of their tables is in use.
async fn take_steps(db: &mut PgConnection) -> Result<(), LedgerError> {
    lift_time_outs(db, IN_SESSION).await?;
    for attempt in 1.. {
        match try_steps(db).await {
            Err(error)
                if attempt < LOCK_ATTEMPTS && error.sqlstate().is_some_and(|code| code == LOCK_NOT_AVAILABLE) =>
            {
                warn!(
                    "a table of the ledger is in use by a long statement or a backup; trying again, others work meanwhile"
                );
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            tried => return tried.map_err(StepError::into_store_error),
        }
    }
    Ok(())
}

/// Takes the steps that are missing, once. What an earlier try left behind goes first.
async fn try_steps(db: &mut PgConnection) -> Result<(), StepError> {
    drop_broken_indexes(db).await?;
    migrator().run_direct(None, &mut *db, SKIP).await?;
    Ok(build_lost_indexes(db).await?)
}

/// Lifts the time-outs that the role or the database has: steps outside a transaction cannot do so for themselves.
async fn lift_time_outs(db: &mut PgConnection, is_local: bool) -> Result<(), LedgerError> {
    let query = "-- lift_time_outs
        select set_config(name, '0', $2)
        from pg_settings
        where name = any($1) and setting <> '0'";
    sqlx::query(query).bind(TIME_OUTS).bind(is_local).execute(db).await?;
    Ok(())
}

/// Why the steps were not all taken.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Step(#[from] MigrateError),
    #[error(transparent)]
    Index(#[from] sqlx::Error),
}

impl StepError {
    /// The server's own code of what a step met.
    fn sqlstate(&self) -> Option<String> {
        let mut errors = causes(self).filter_map(|cause| cause.downcast_ref::<sqlx::Error>());
        errors.find_map(|error| Some(error.as_database_error()?.code()?.into_owned()))
    }

    fn into_store_error(self) -> LedgerError {
        let is_pooled = self.sqlstate().is_some_and(|code| POOLER_CODES.contains(&&*code));
        LedgerError::Schema(if is_pooled { format!("{self}; {POOLER_HINT}") } else { self.to_string() })
    }
}

/// Drops the indexes whose concurrent build was cut off: they are there, cost every write and answer nothing, and the
/// step that builds them would take them for finished.
async fn drop_broken_indexes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let query = "-- is_broken
        select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)";
    for (index, _) in concurrent_indexes() {
        if sqlx::query_scalar(query).bind(index).fetch_one(&mut *db).await? {
            info!(index, "an index was not built to its end; building it again");
            let drop = format!("-- drop_broken_index\ndrop index concurrently if exists {index}");
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// Builds the indexes that are not there though their step was taken: it had left one behind that was not built to its end,
/// or somebody dropped one.
async fn build_lost_indexes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (index, build) in concurrent_indexes() {
        let query = "-- is_lost\nselect to_regclass($1) is null";
        if sqlx::query_scalar(query).bind(index).fetch_one(&mut *db).await? {
            info!(index, "an index is missing; building it");
            sqlx::query(build).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// The indexes that steps build concurrently, each with the statement that builds it.
pub(super) fn concurrent_indexes() -> impl Iterator<Item = (&'static str, &'static str)> {
    STEPS.iter().filter_map(|&(_, _, sql)| Some((concurrent_index(sql)?, sql)))
}

/// The index that a step builds concurrently.
fn concurrent_index(sql: &str) -> Option<&str> {
    sql.lines().find_map(|line| line.strip_prefix(BUILD))?.split_whitespace().next()
}

async fn schema_version(db: &mut PgConnection) -> Result<i64, LedgerError> {
    let there: bool = sqlx::query_scalar("-- schema_is_there\nselect to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *db)
        .await?;
    if !there {
        return Ok(0);
    }
    let query = "-- schema_version\nselect coalesce(max(version), 0) from _sqlx_migrations where success";
    Ok(sqlx::query_scalar(query).fetch_one(db).await?)
}

fn migrator() -> Migrator {
    let step = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        let no_transaction = sql.starts_with(NO_TRANSACTION);
        let description = Cow::Borrowed(name);
        let step = Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), no_transaction);
        if no_transaction {
            return step;
        }
        // Its checksum stays that of the file.
        Migration { sql: AssertSqlSafe(format!("{PREAMBLE}{sql}")).into_sql_str(), ..step }
    };
    let mut migrator = Migrator::with_migrations(STEPS.iter().map(step).collect());
    // A newer version of the program may have migrated first; its steps only add.
    migrator.set_ignore_missing(true);
    // The turn is lock enough, and sqlx's own stays behind in a session of a pooler.
    migrator.set_locking(false);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_concurrently_stands_alone_and_outside_a_transaction() {
        for (version, _, sql) in STEPS {
            let code: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
            let is_concurrent = code.contains("concurrently");
            assert_eq!(sql.starts_with(NO_TRANSACTION), is_concurrent, "step {version}");
            if is_concurrent {
                assert_eq!(code.matches(';').count(), 1, "step {version}");
                assert_eq!(code.starts_with("create"), concurrent_index(sql).is_some(), "step {version}");
            }
        }
    }

    /// Whoever migrates builds the indexes that are missing.
    #[test]
    fn no_step_drops_an_index_that_another_one_builds_concurrently() {
        for (index, _) in concurrent_indexes() {
            let drops = |sql: &str| sql.lines().any(|line| line.starts_with("drop index") && line.contains(index));
            assert!(!STEPS.iter().any(|(_, _, sql)| drops(sql)), "{index}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_embedded_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let embedded: Vec<_> = STEPS.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, embedded);
        for (path, (_, _, sql)) in files.iter().zip(STEPS) {
            assert_eq!(std::fs::read_to_string(path).unwrap(), sql);
        }
    }
}
