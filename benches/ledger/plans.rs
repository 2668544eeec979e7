//! The query plans, as the server executed them.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use sqlx::postgres::PgPool;
use tracing::Level;

use super::questions;

/// Makes the server report the plan of every statement on new connections, runs each query warm, and writes the report.
pub(crate) async fn write(pool: &PgPool, url: &str, rows: u64, path: &Path) -> anyhow::Result<()> {
    // A connection accepts the module's settings only after loading it.
    let mut connection = pool.acquire().await?;
    sqlx::query("load 'auto_explain'").execute(&mut *connection).await?;
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_buffers = on",
        "auto_explain.log_level = notice",
    ] {
        let set = format!("alter system set {setting}");
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&mut *connection).await?;
    }
    sqlx::query("select pg_reload_conf()").execute(pool).await?;
    let file = File::create(path).with_context(|| path.display().to_string())?;
    // sqlx logs the notices that the server sends besides its results.
    let told = tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_writer(Mutex::new(file))
        .finish();
    tracing::subscriber::set_global_default(told)?;
    let ledger = super::connect(url).await?;
    questions::ask(&ledger, rows, 1).await?;
    ledger.close().await;
    Ok(())
}
