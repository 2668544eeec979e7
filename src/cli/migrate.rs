//! `muster migrate`: migrates the ledger's schema.

use std::process::ExitCode;

use anyhow::Context;

use super::talk::talk;
use crate::config::Config;
use crate::ledger::Ledger;

/// Migrates the ledger's schema to this version.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let ledger = Ledger::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
    ledger.migrate().await?;
    ledger.check_schema().await?;
    talk("the schema is up to date");
    ledger.close().await;
    Ok(ExitCode::SUCCESS)
}
