//! `muster page`: the ops page without a worker.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::{signals, talk::talk};
use crate::config::Config;
use crate::http::site::Site;

/// Serves the ops page and its API without a worker.
///
/// `muster serve` has the page too, at `http.listen` (127.0.0.1:9465 by default). This command runs it alone, for
/// example next to the ledger. Without tokens it can be read from this machine and changes nothing; `muster token`
/// prints one. Runs until Ctrl-C.
#[derive(Args, Debug)]
pub(super) struct PageCommand {}

impl PageCommand {
    /// Serves until a signal arrives.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = signals::logged_stop_token()?;
        let Some(listening) = Site::listen(config).await? else { bail!("`http.listen` is off") };
        talk(&format!("the ops page is at {}", listening.url()?));
        listening.run(stop).await;
        Ok(ExitCode::SUCCESS)
    }
}
