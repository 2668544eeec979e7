//! `muster ca list`: the CAs in the ledger with their status at AWS, those that jobs wait for, and those that could not
//! be registered.

use std::process::ExitCode;

use clap::Args;

use crate::cli::open_ledger::open_ledger;
use crate::cli::stdout;
use crate::config::Config;
use crate::operator::authorities::CaListing;

/// Lists CAs: those in the ledger with their status at AWS, those that jobs wait for, and those that could not be
/// registered.
///
/// Reads the status of the first 100 CAs from AWS, five per second; this needs `iot:DescribeCACertificate`. The ledger
/// keeps the answers. If AWS cannot be asked, the status is shown as unknown, together with the last known one.
#[derive(Args, Debug)]
pub(super) struct ListCas {
    /// Shows only the ledger; does not ask AWS.
    #[arg(long)]
    offline: bool,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl ListCas {
    /// Reads the ledger and asks AWS.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let listing = if self.offline {
            CaListing::without_aws(&ledger, "AWS was not asked (--offline)").await
        } else {
            CaListing::with_aws(config, &ledger).await
        };
        ledger.close().await;
        let listing = listing?;
        if self.json {
            stdout::print_json(&listing)?;
        } else {
            stdout::print(listing)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
