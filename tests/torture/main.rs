//! `cargo torture`: workers while they, Postgres and AWS fail at random, and the invariants that must still hold.
//!
//! Three real workers, the sandbox in this process, and a private Postgres. After the storm everything must drain; then
//! the invariants are judged by the sandbox's call log, the rows and the logs. Data goes to standard output, progress
//! to standard error.

#![cfg(test)]

#[path = "../stage/faketime.rs"]
mod faketime;
mod fleet;
mod jobs;
mod judge;
#[path = "../stage/lag.rs"]
mod lag;
mod metrics;
mod plan;
mod plant;
#[path = "../stage/proxy.rs"]
mod proxy;
#[path = "../stage/queue.rs"]
mod queue;
mod rows;
#[path = "../stage/server.rs"]
mod server;
mod storm;
mod violations;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::plant::Plant;
use crate::storm::Storm;

/// The number of workers.
const WORKERS: usize = 3;

/// Tortures three workers and reports violated invariants.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed that decides what goes wrong and when. Random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of messages.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Maximum duration of the faults, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Print the numbers as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(torture(&arguments));
    if arguments.json {
        println!("{report:#}");
    }
    let violations = report["violations"].as_array().unwrap();
    for violation in violations {
        eprintln!("violated: {}", violation.as_str().unwrap());
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn torture(arguments: &Arguments) -> serde_json::Value {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let time = Duration::from_secs(arguments.seconds);
    eprintln!("seed {seed}: {} messages, faults for up to {time:?}", arguments.jobs);
    let plan = Plan::new(seed, WORKERS, time);
    let (plant, server) = Plant::build(arguments.jobs, seed).await;
    eprintln!("the queue is filled; logs are in {}", plant.folder().display());

    let started = Instant::now();
    let watching = plant.watch();
    let fleet = Fleet::start(WORKERS, &plant.recipe());
    let storm = Storm::run(plan, server, &plant, &fleet).await;
    eprintln!("the storm is over after {:?}", started.elapsed());
    let drain = plant.drain(&fleet).await;
    let exits = fleet.stop().await;
    let seconds = started.elapsed().as_secs_f64();
    drop(watching);
    judge::judge(&plant, &storm, &exits, &drain).await;
    let mut report = judge::report(&plant, &storm, &exits, &drain).await;
    report["seed"] = seed.into();
    report["seconds"] = seconds.into();
    report["violations"] = plant.violations.list().into();
    report
}
