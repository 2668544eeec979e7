//! `muster serve`.

use std::process::ExitCode;

use clap::Args;

use super::{exit, signals};
use crate::config::Config;
use crate::engine::serve::Until;
use crate::http::service::Service;

/// Receives jobs, registers their certificates and records how each ended.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Stops when the queue is empty; the exit code is then 3 where a job failed or waits for what must be mended first.
    /// Stops with 4 or 5 where the queue cannot be read: at once where access is denied, else after a minute.
    #[arg(long)]
    until_empty: bool,
}

impl Serve {
    /// Serves until it is told to stop.
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let until = if self.until_empty { Until::Empty } else { Until::Stopped };
        let stop = signals::logged_stop_token()?;
        let service = tokio::select! {
            service = Service::start(&config, until, stop.clone()) => service?,
            // Nothing was received yet.
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        };
        let metrics = service.metrics();
        service.run().await?;
        let failed = self.until_empty && metrics.n_failed() + metrics.n_parked() > 0;
        Ok(if failed { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS })
    }
}
