//! The schema's steps, forward only, embedded in the binary.
//!
//! A step runs in a transaction, unless its first line says otherwise: an index of a large table is built and dropped
//! `concurrently`, beside live work, which Postgres does outside a transaction only. Such a step holds one statement.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};
use tracing::info;

use super::{Store, StoreError};

/// Version, name and text of every step in `migrations/`; a test compares the list with the folder.
const STEPS: [(i64, &str, &str); 10] = [
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
];

/// First line of a step that runs outside a transaction; sqlx's own files have the same.
const NO_TRANSACTION: &str = "-- no-transaction\n";

/// How a step begins that builds an index beside live work.
const BUILD: &str = "create index concurrently if not exists ";

/// The advisory lock of the process whose turn it is to migrate.
const TURN: i64 = 0x006d_7573_7465_7200;

/// How often a process that waits for its turn asks for it.
const ASK_EVERY: Duration = Duration::from_millis(200);

impl Store {
    /// Brings the schema to this program's version; does nothing where it is there already.
    ///
    /// Several processes may do this at once: an advisory lock lets one work at a time. There is no timeout: building an
    /// index over a large ledger takes minutes.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where a step fails or the schema is newer than this program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // A connection of its own, out of the pool: the lock ends with it, whatever happens meanwhile.
        let mut turn = self.pool.acquire().await?.detach();
        wait_for_turn(&mut turn).await?;
        drop_broken_indexes(&mut turn).await?;
        migrator().run(&self.pool).await.map_err(|error| StoreError::Schema(error.to_string()))?;
        Ok(turn.close().await?)
    }

    /// Checks that every step of this program has been taken. Further, newer steps are fine: they only add.
    ///
    /// # Errors
    /// [`StoreError::Schema`] names the version found and wanted.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let wanted = STEPS.last().map_or(0, |step| step.0);
        let found = self.run(schema_version).await?;
        if found >= wanted {
            return Ok(());
        }
        Err(StoreError::Schema(format!("version {found} found, {wanted} wanted; run `muster migrate`")))
    }
}

/// Waits until no other process migrates. It asks again and again and does not wait inside a statement: a statement has a
/// snapshot, and whoever builds an index concurrently waits for all older snapshots, so each would wait for the other.
async fn wait_for_turn(db: &mut PgConnection) -> Result<(), StoreError> {
    let mut has_waited = false;
    while !sqlx::query_scalar::<_, bool>("-- wait_for_turn\nselect pg_try_advisory_lock($1)")
        .bind(TURN)
        .fetch_one(&mut *db)
        .await?
    {
        if !has_waited {
            info!("waiting for another process that migrates");
        }
        has_waited = true;
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// Drops the indexes whose concurrent build was cut off: they are there, cost every write and answer nothing, and the
/// step that builds them would take them for finished.
async fn drop_broken_indexes(db: &mut PgConnection) -> Result<(), StoreError> {
    let query = "-- is_broken
        select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)";
    for index in STEPS.iter().filter_map(|(_, _, sql)| concurrent_index(sql)) {
        if sqlx::query_scalar(query).bind(index).fetch_one(&mut *db).await? {
            info!(index, "an index was not built to its end; building it again");
            let drop = format!("-- drop_broken_index\ndrop index concurrently if exists {index}");
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// The index that a step builds concurrently.
fn concurrent_index(sql: &str) -> Option<&str> {
    sql.lines().find_map(|line| line.strip_prefix(BUILD))?.split_whitespace().next()
}

async fn schema_version(db: &mut PgConnection) -> Result<i64, StoreError> {
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
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), no_transaction)
    };
    let mut migrator = Migrator::with_migrations(STEPS.iter().map(step).collect());
    // A newer version of the program may have migrated first; its steps only add.
    migrator.set_ignore_missing(true);
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
