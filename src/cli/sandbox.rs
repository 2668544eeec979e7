//! `muster sandbox`: a local SQS and AWS IoT Core over HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::signals;
use crate::config::Config;
use muster_sandbox;

/// Runs a local SQS and AWS IoT Core with the rules and quotas of AWS.
#[derive(Args, Debug)]
pub(super) struct SandboxCommand {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Quota of each IoT operation, in calls per second.
    #[arg(long, default_value_t = 10.0, value_name = "CALLS")]
    rate: f64,
    /// Size of the token bucket, in calls [default: one second of quota].
    #[arg(long, value_name = "TOKENS")]
    burst: Option<f64>,
    /// Counts calls above the quota instead of throttling them.
    #[arg(long)]
    count_only: bool,
    /// Delay of every response.
    #[arg(long, default_value = "0ms", value_name = "TIME")]
    latency: humantime::Duration,
    /// Region in ARNs [default: `aws.region` of the settings, else `AWS_REGION`, `AWS_DEFAULT_REGION`, or us-east-1].
    #[arg(long)]
    region: Option<String>,
    /// Provisioning template that CAs can name. Can be repeated.
    #[arg(long = "template", value_name = "NAME")]
    templates: Vec<String>,
}

impl SandboxCommand {
    /// Runs the sandbox until a signal arrives.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let defaults = muster_sandbox::SandboxSettings::default();
        let settings = muster_sandbox::SandboxSettings {
            listen: self.listen,
            rates: muster_sandbox::Rates::all(self.rate),
            burst: self.burst,
            limiting: if self.count_only {
                muster_sandbox::Limiting::CountOnly
            } else {
                muster_sandbox::Limiting::Enforce
            },
            latency: self.latency.into(),
            templates: self.templates,
            region: self.region.or_else(|| configured_region(config)).unwrap_or(defaults.region),
            ..muster_sandbox::SandboxSettings::default()
        };
        let sandbox = muster_sandbox::Sandbox::start(settings)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        announce(&sandbox.url());
        stop.cancelled().await;
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the region that a client with the same settings would use.
fn configured_region(config: &Config) -> Option<String> {
    let from_environment = || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    config.aws.region.clone().or_else(from_environment).filter(|region| !region.is_empty())
}

/// Prints the URL, the one line that a caller waits for. The sandbox runs even if standard output is closed.
fn announce(url: &str) {
    let _ = writeln!(std::io::stdout(), "{url}");
}
