//! `muster serve`.

use std::process::ExitCode;

use clap::Args;

use super::{exit, signals};
use crate::config::Config;
use crate::engine::serve::Until;
use crate::http::service::Service;

/// Receives jobs, registers their certificates and records each outcome.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Stops when the queue is empty. Exits with 3 if a job failed or is parked until something is fixed. If the queue
    /// cannot be read, exits with 4 at once (access denied) or with 5 after a minute (unreachable).
    #[arg(long)]
    until_empty: bool,
}

impl Serve {
    /// Runs the service until a signal arrives or, with `--until-empty`, until the queue is empty.
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let until = if self.until_empty { Until::Empty } else { Until::Stopped };
        let stop = signals::logged_stop_token()?;
        let service = tokio::select! {
            service = Service::start(&config, until, stop.clone()) => service?,
            // Nothing has been received yet.
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        };
        let metrics = service.metrics();
        service.run().await?;
        let failed = self.until_empty && metrics.n_failed() + metrics.n_parked() > 0;
        Ok(if failed { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS })
    }
}
