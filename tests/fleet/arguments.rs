//! What is measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use muster_core::rate::Rate;

/// Measures how well several real workers share one quota.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Arguments {
    /// How many workers there are.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=30))]
    pub(crate) workers: u16,
    /// Calls a second that the workers are configured with.
    #[arg(long, value_name = "RATE", default_value = "100", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Calls a second that the sandbox really allows; those of --rate where it is not given.
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "targets")]
    real_rate: Option<Rate>,
    /// Calls a second that the sandbox allows later.
    #[arg(long, value_name = "RATE", value_parser = rate, requires = "raise_after", conflicts_with_all = ["targets", "lines"])]
    raise_to: Option<Rate>,
    /// When it allows them, after the first call.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "raise_to")]
    raise_after: Option<Duration>,
    /// How long is measured.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, conflicts_with = "lines")]
    pub(crate) seconds: Duration,
    /// Lets the sandbox count calls and limit none; the exit code is 1 where a second has too many.
    #[arg(long, conflicts_with_all = ["targets", "lines"])]
    pub(crate) count_only: bool,
    /// How often a worker is killed, one after the other; another is started at once.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) kill_every: Option<Duration>,
    /// How often a worker is frozen for two seconds, one after the other.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) freeze_every: Option<Duration>,
    /// How often a worker is told to end, one after the other; it is started again when it has ended.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) restart_every: Option<Duration>,
    /// Time before what is measured, for the rate to be learnt.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "lines")]
    settle: Option<Duration>,
    /// Measures fairness: one line sends a hundred times as much as each of nine others, and sends it first.
    #[arg(long, conflicts_with = "targets")]
    pub(crate) lines: bool,
    /// Jobs of each of the nine lines.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), requires = "lines")]
    pub(crate) jobs_per_line: u32,
    /// Measures three targets of one service: one is healthy, one denies everything, one allows a tenth of its rate.
    #[arg(long)]
    pub(crate) targets: bool,
    /// Draws the calls of each second into a file.
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["targets", "lines"])]
    pub(crate) plot: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    pub(crate) fn real_rate(&self) -> Rate {
        self.real_rate.unwrap_or(self.rate)
    }

    /// To which rate the quota is raised, and when after the first call.
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
    anyhow::ensure!(!time.is_zero(), "a time is above zero");
    Ok(time)
}
