//! `muster audit`.

use std::process::ExitCode;

use clap::Args;

use crate::config::Config;

/// Not there yet.
#[derive(Args, Debug)]
pub(super) struct Audit {}

impl Audit {
    pub(super) async fn run(self, _config: &Config) -> anyhow::Result<ExitCode> {
        std::future::pending().await
    }
}
