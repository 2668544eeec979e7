//! Opens the ledger that the settings name.

use anyhow::Context;

use crate::config::Config;
use crate::ledger::Ledger;

/// Connects to the ledger and checks that its schema belongs to this version.
pub(super) async fn open_ledger(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = Ledger::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
    ledger.check_schema().await?;
    Ok(ledger)
}
