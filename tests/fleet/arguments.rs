//! The command line: what to measure.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use muster_core::rate::Rate;

/// Measures how well several real workers share one quota.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Arguments {
    /// Number of workers.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=30))]
    pub(crate) workers: u16,
    /// Calls per second that the workers are configured with.
    #[arg(long, value_name = "RATE", default_value = "100", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Calls per second that the sandbox really allows. Defaults to --rate.
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "targets")]
    real_rate: Option<Rate>,
    /// Calls per second that the sandbox allows later.
    #[arg(long, value_name = "RATE", value_parser = rate, requires = "raise_after", conflicts_with_all = ["targets", "lines"])]
    raise_to: Option<Rate>,
    /// When it allows them, in seconds after the first call.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "raise_to")]
    raise_after: Option<Duration>,
    /// How long to measure, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, conflicts_with = "lines")]
    pub(crate) seconds: Duration,
    /// Make the sandbox count calls instead of limiting them. The exit code is 1 if any second has too many calls.
    #[arg(long, conflicts_with_all = ["targets", "lines"])]
    pub(crate) count_only: bool,
    /// Kill a worker every SECONDS, in turn; another is started at once.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) kill_every: Option<Duration>,
    /// Freeze a worker for two seconds every SECONDS, in turn.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) freeze_every: Option<Duration>,
    /// Stop a worker gracefully every SECONDS, in turn; it is restarted once it has exited.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) restart_every: Option<Duration>,
    /// Seconds to wait before measuring, so that the rate can be learnt. Defaults to 0.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "lines")]
    settle: Option<Duration>,
    /// Measure fairness: one line sends a hundred times as much as each of nine others, and sends it first.
    #[arg(long, conflicts_with = "targets")]
    pub(crate) lines: bool,
    /// Number of jobs of each of the nine lines.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), requires = "lines")]
    pub(crate) jobs_per_line: u32,
    /// Measure three targets of one service: one is healthy, one denies everything, one allows a tenth of its rate.
    #[arg(long)]
    pub(crate) targets: bool,
    /// Plot the calls of each second to a file.
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["targets", "lines"])]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    pub(crate) fn real_rate(&self) -> Rate {
        self.real_rate.unwrap_or(self.rate)
    }

    /// Returns the rate to which the quota is raised, and when after the first call.
    pub(crate) fn raise(&self) -> Option<(Rate, Duration)> {
        self.raise_to.zip(self.raise_after)
    }

    pub(crate) fn settle(&self) -> Duration {
        self.settle.unwrap_or_default()
    }
}

fn rate(text: &str) -> anyhow::Result<Rate> {
    Ok(Rate::new(text.parse()?)?)
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let time = Duration::try_from_secs_f64(text.parse()?)?;
    anyhow::ensure!(!time.is_zero(), "the time must be greater than 0");
    Ok(time)
}
