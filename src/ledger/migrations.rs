//! The schema migrations, forward only, embedded in the binary.
//!
//! A step runs in a transaction unless its first line says otherwise: an index of a large table is built and dropped
//! `concurrently`, without blocking writes, which Postgres does only outside a transaction. Such a step has one
//! statement.

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

/// Version, name and text of every step in `migrations/`. A test compares this list with the folder.
const STEPS: [(i64, &str, &str); 21] = [
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
    (17, "plain_comments", include_str!("../../migrations/0017_plain_comments.sql")),
    (18, "history", include_str!("../../migrations/0018_history.sql")),
    (19, "bulk_changes", include_str!("../../migrations/0019_bulk_changes.sql")),
    (20, "sessions", include_str!("../../migrations/0020_sessions.sql")),
    (21, "failed_counters", include_str!("../../migrations/0021_failed_counters.sql")),
];

/// First line of a step that runs outside a transaction, as in sqlx's own migration files.
const NO_TRANSACTION: &str = "-- no-transaction\n";

/// First words of a statement that builds an index during live work.
const BUILD: &str = "create index concurrently if not exists ";

/// Key of the advisory lock that the migrating process holds.
const LOCK_KEY: i64 = 0x006d_7573_7465_7200;

/// How often a waiting process tries to take the lock, and after how long it gives up.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(200);
const LOCK_WAIT_MAX: Duration = Duration::from_mins(30);

/// First statements of a step in a transaction. A statement that waits for an exclusive lock on a table blocks every
/// later one on that table, so a step waits at most 2 s for a lock. The role's statement timeout is not meant for
/// migrations.
const PREAMBLE: &str = "set local statement_timeout = 0; set local lock_timeout = '2s';\n";

/// How long others may work before a step tries to take its locks again, and the number of attempts.
const LOCK_PAUSE: Duration = Duration::from_secs(3);
const LOCK_ATTEMPTS: u32 = 360;

/// Timeouts of a role or a database that would interrupt a step. Servers of older versions lack some of them.
const TIMEOUTS: [&str; 4] =
    ["statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"];

/// Whether timeouts are lifted for the transaction only, or for the session.
const IN_TRANSACTION: bool = true;
const IN_SESSION: bool = false;

/// Whether sqlx only marks steps as applied. Here it runs them.
const SKIP: bool = false;

/// SQLSTATE of a lock that was not acquired in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl Ledger {
    /// Migrates the schema to this program's version. Does nothing if it already has this or a newer version.
    ///
    /// Several processes may call this at once: an advisory lock lets one of them work at a time. A step has no
    /// timeout: building an index over a large ledger takes minutes.
    ///
    /// # Errors
    /// [`LedgerError::Schema`] if a step fails, or if another process migrates or uses a table for too long.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        // Two connections outside the pool: their settings must not reach other operations.
        let mut lock = self.pool.acquire().await?.detach();
        let mut db = self.pool.acquire().await?.detach();
        acquire_lock(&mut lock).await?;
        let migrated = apply_steps(&mut db).await;
        sqlx::raw_sql("-- release_lock\nrollback").execute(&mut lock).await?;
        let _ = tokio::join!(db.close(), lock.close());
        migrated
    }

    /// Checks that every step of this program has been applied. Newer steps are fine: they only add.
    ///
    /// # Errors
    /// [`LedgerError::Schema`] with the version found and the version expected.
    pub async fn check_schema(&self) -> Result<(), LedgerError> {
        let wanted = STEPS.last().map_or(0, |step| step.0);
        let found = self.run(schema_version).await?;
        if found >= wanted {
            return Ok(());
        }
        Err(LedgerError::Schema(format!("version {found} found, {wanted} expected; run `muster migrate`")))
    }
}

/// Waits until no other process migrates, and leaves a transaction open that holds the advisory lock.
///
/// The lock belongs to the transaction, not to the session: behind a pooler a session outlives its client, and would
/// keep its lock forever.
///
/// Each attempt is a transaction of its own. A concurrent index build waits for every transaction that has an older
/// snapshot, and a statement takes one: a transaction that kept trying would wait for the builder, and the builder for
/// it.
async fn acquire_lock(db: &mut PgConnection) -> Result<(), LedgerError> {
    // At any other isolation level the transaction keeps a snapshot, and our own index build would wait for it.
    const BEGIN: &str = "-- begin_lock\nbegin isolation level read committed";
    let ask = "-- acquire_lock\nselect pg_try_advisory_xact_lock($1)";
    let began = Instant::now();
    let mut has_waited = false;
    loop {
        sqlx::raw_sql(BEGIN).execute(&mut *db).await?;
        lift_timeouts(db, IN_TRANSACTION).await?;
        if sqlx::query_scalar(ask).bind(LOCK_KEY).fetch_one(&mut *db).await? {
            return Ok(());
        }
        sqlx::raw_sql("-- lock_is_taken\nrollback").execute(&mut *db).await?;
        if !has_waited {
            info!("waiting for another process to finish its migrations");
        }
        if began.elapsed() > LOCK_WAIT_MAX {
            let text = format!(
                "another process has been migrating for over {} (advisory lock {LOCK_KEY})",
                span(LOCK_WAIT_MAX)
            );
            return Err(LedgerError::Schema(text));
        }
        has_waited = true;
        tokio::time::sleep(LOCK_POLL_INTERVAL).await;
    }
}

/// Applies the missing steps, and retries while one of their tables is in use.
async fn apply_steps(db: &mut PgConnection) -> Result<(), LedgerError> {
    lift_timeouts(db, IN_SESSION).await?;
    for attempt in 1.. {
        match try_apply_steps(db).await {
            Err(error)
                if attempt < LOCK_ATTEMPTS && error.sqlstate().is_some_and(|code| code == LOCK_NOT_AVAILABLE) =>
            {
                warn!("a long statement or a backup is using a ledger table; retrying, others keep working meanwhile");
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            tried => return tried.map_err(StepError::into_ledger_error),
        }
    }
    Ok(())
}

/// Applies the missing steps, in one attempt. First drops what an earlier attempt left behind.
async fn try_apply_steps(db: &mut PgConnection) -> Result<(), StepError> {
    drop_broken_indexes(db).await?;
    migrator().run_direct(None, &mut *db, SKIP).await?;
    Ok(build_missing_indexes(db).await?)
}

/// Lifts the timeouts of the role and the database: steps outside a transaction cannot do that for themselves.
async fn lift_timeouts(db: &mut PgConnection, is_local: bool) -> Result<(), LedgerError> {
    let query = "-- lift_timeouts
        select set_config(name, '0', $2)
        from pg_settings
        where name = any($1) and setting <> '0'";
    sqlx::query(query).bind(TIMEOUTS).bind(is_local).execute(db).await?;
    Ok(())
}

/// Why not all steps were applied.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Step(#[from] MigrateError),
    #[error(transparent)]
    Index(#[from] sqlx::Error),
}

impl StepError {
    /// Returns the SQLSTATE code of the server's error, if there is one.
    fn sqlstate(&self) -> Option<String> {
        let mut errors = causes(self).filter_map(|cause| cause.downcast_ref::<sqlx::Error>());
        errors.find_map(|error| Some(error.as_database_error()?.code()?.into_owned()))
    }

    fn into_ledger_error(self) -> LedgerError {
        let is_pooled = self.sqlstate().is_some_and(|code| POOLER_CODES.contains(&&*code));
        LedgerError::Schema(if is_pooled { format!("{self}; {POOLER_HINT}") } else { self.to_string() })
    }
}

/// Drops the indexes whose concurrent build was interrupted: such an index slows down every write and serves no query,
/// and the step that builds it would treat it as complete.
async fn drop_broken_indexes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let query = "-- is_broken
        select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)";
    for (index, _) in concurrent_indexes() {
        if sqlx::query_scalar(query).bind(index).fetch_one(&mut *db).await? {
            info!(index, "an index build was interrupted; building the index again");
            let drop = format!("-- drop_broken_index\ndrop index concurrently if exists {index}");
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// Builds the indexes that are missing although their step was applied: its build was interrupted, or the index was
/// dropped.
async fn build_missing_indexes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (index, build) in concurrent_indexes() {
        let query = "-- is_missing\nselect to_regclass($1) is null";
        if sqlx::query_scalar(query).bind(index).fetch_one(&mut *db).await? {
            info!(index, "an index is missing; building it");
            sqlx::query(build).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// Returns the indexes that steps build concurrently, each with the statement that builds it.
pub(super) fn concurrent_indexes() -> impl Iterator<Item = (&'static str, &'static str)> {
    STEPS.iter().filter_map(|&(_, _, sql)| Some((concurrent_index(sql)?, sql)))
}

/// Returns the index that a step builds concurrently.
fn concurrent_index(sql: &str) -> Option<&str> {
    sql.lines().find_map(|line| line.strip_prefix(BUILD))?.split_whitespace().next()
}

async fn schema_version(db: &mut PgConnection) -> Result<i64, LedgerError> {
    let exists: bool = sqlx::query_scalar("-- schema_exists\nselect to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *db)
        .await?;
    if !exists {
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
        // Its checksum remains that of the file.
        Migration { sql: AssertSqlSafe(format!("{PREAMBLE}{sql}")).into_sql_str(), ..step }
    };
    let mut migrator = Migrator::with_migrations(STEPS.iter().map(step).collect());
    // A newer version of Muster may have migrated first; its steps only add.
    migrator.set_ignore_missing(true);
    // The advisory lock is enough. sqlx's own lock is a session lock, which would remain in a session of a pooler.
    migrator.set_locking(false);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_steps_have_one_statement_and_no_transaction() {
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

    /// Every migration builds the missing indexes, so it would rebuild what a step drops.
    #[test]
    fn no_step_drops_a_concurrently_built_index() {
        for (index, _) in concurrent_indexes() {
            let drops = |sql: &str| sql.lines().any(|line| line.starts_with("drop index") && line.contains(index));
            assert!(!STEPS.iter().any(|(_, _, sql)| drops(sql)), "{index}");
        }
    }

    #[test]
    fn every_migration_file_is_embedded_in_order() {
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
