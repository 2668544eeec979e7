//! The schema's steps, forward only, embedded in the binary.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;

use super::{Store, StoreError};

/// Version, name and text of every step in `migrations/`; a test compares the list with the folder.
const STEPS: [(i64, &str, &str); 6] = [
    (1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    (2, "recent_batches", include_str!("../../migrations/0002_recent_batches.sql")),
    (3, "holds", include_str!("../../migrations/0003_holds.sql")),
    (4, "rate_limits", include_str!("../../migrations/0004_rate_limits.sql")),
    (5, "authorities", include_str!("../../migrations/0005_authorities.sql")),
    (6, "operators", include_str!("../../migrations/0006_operators.sql")),
];

impl Store {
    /// Brings the schema to this program's version; does nothing where it is there already.
    ///
    /// Several processes may do this at once: an advisory lock lets one work. It has no time-out, as building an index
    /// over a large ledger takes what it takes.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where a step fails or the schema is newer than this program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrator().run(&self.pool).await.map_err(|error| StoreError::Schema(error.to_string()))
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
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
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
