//! The command line: arguments, one file a command, and what an error means to a shell.
//!
//! Data goes to standard output, talk to standard error.

mod demo;
mod enqueue;
mod failure;
mod figures;
mod migrate;
mod progress;
mod sandbox;
mod serve;
mod signals;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::telemetry;

/// Registers device certificates with AWS IoT Core in bulk.
#[derive(Debug, Parser)]
#[command(version, about, after_help = failure::EXIT_CODES, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
struct Global {
    /// Settings file; config/muster.toml lists every key.
    #[arg(long, global = true, env = "MUSTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged, for example `debug` or `muster=debug,warn`.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receives jobs, registers their certificates and records how each ended.
    Serve(serve::Serve),
    /// Sends the certificates of files to the queue.
    Enqueue(enqueue::Enqueue),
    /// Shows everything at work on this machine: makes certificates and registers them with the sandbox.
    Demo(demo::Demo),
    /// Runs a local SQS and AWS IoT with real rules and quotas.
    Sandbox(sandbox::Sandbox),
    /// Brings the ledger's schema to this version.
    Migrate,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| failure::report(&error))
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = Config::load(cli.global.config.as_deref())?;
    // What a demo or a sandbox does shows on its own display.
    let quiet = matches!(cli.command, Command::Demo(_) | Command::Sandbox(_)).then_some("error");
    let filter = cli.global.log.as_deref().or(quiet).unwrap_or(&config.log.filter);
    telemetry::init(filter, config.log.format)?;
    match cli.command {
        Command::Serve(serve) => serve.run(config).await,
        Command::Enqueue(enqueue) => enqueue.run(config).await,
        Command::Demo(demo) => demo.run().await,
        Command::Sandbox(sandbox) => sandbox.run().await,
        Command::Migrate => migrate::run(&config).await,
    }
}
