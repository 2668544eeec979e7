//! The command line: a file or folder per command, and the flags, exit codes and hints that they share.
//!
//! Results go to standard output. Progress, questions, hints and errors go to standard error.
//!
//! May use: everything but [`quota`](crate::quota). Must not know: SQL, SDK types.

mod audit;
mod ca;
mod change_flags;
mod config;
mod dead;
mod demo;
mod doctor;
mod enqueue;
mod exit;
mod export;
mod failure;
mod format;
mod holds;
mod layers;
mod migrate;
mod open_ledger;
mod page;
mod pause;
mod progress;
mod prune;
mod quarantine;
mod reconcile;
mod replay;
mod report;
mod sandbox;
mod serve;
mod show;
mod signals;
mod status;
mod stdout;
mod talk;
mod token;
mod user;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::telemetry;

use crate::config::log::LogFilter;

use layers::{Assignments, SettingFlags};

/// Longest wait for running threads at exit. A thread that reads from a hung file system would block it forever.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Registers device certificates with AWS IoT Core in bulk.
#[derive(Debug, Parser)]
#[command(version, about, after_help = exit::CODES, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    layers: SettingFlags,
    #[command(subcommand)]
    command: Command,
}

// No doc comments here where the command's own type has one: they would hide its longer text.
#[derive(Debug, Subcommand)]
enum Command {
    /// Receives jobs, registers their certificates and records each outcome.
    Serve(serve::Serve),
    Page(page::PageCommand),
    Enqueue(enqueue::Enqueue),
    Status(status::StatusCommand),
    Show(show::ShowCommand),
    Replay(replay::ReplayCommand),
    Export(export::Export),
    Report(report::ReportCommand),
    Reconcile(reconcile::Reconcile),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Holds(holds::HoldsCommand),
    Dead(dead::Dead),
    Quarantine(quarantine::Quarantine),
    Ca(ca::CaCommand),
    Doctor(doctor::Doctor),
    Audit(audit::Audit),
    Prune(prune::Prune),
    Token(token::TokenCommand),
    Demo(demo::Demo),
    /// Runs a local SQS and AWS IoT Core with the rules and quotas of AWS.
    Sandbox(sandbox::SandboxCommand),
    /// Migrates the ledger's schema to this version.
    Migrate,
    /// Prints the settings, or a settings file with every key.
    Config(config::ConfigCommand),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let _flush = telemetry::FlushOnDrop;
    let (cli, assignments) = arguments().unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli, assignments));
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
            result
        }
        Err(error) => Err(error.into()),
    };
    result.unwrap_or_else(|error| failure::report(&error))
}

fn arguments() -> Result<(Cli, Assignments), clap::Error> {
    let matches = Assignments::add_to(Cli::command()).get_matches();
    Ok((Cli::from_arg_matches(&matches)?, Assignments::collect(&matches)?))
}

async fn run(cli: Cli, assignments: Assignments) -> anyhow::Result<ExitCode> {
    signals::survive_file_size_limit()?;
    let settings = cli.layers.settings(assignments)?;
    let config = &settings.config;
    // A demo and a sandbox have a display of their own.
    let is_quiet = matches!(cli.command, Command::Demo(_) | Command::Sandbox(_)) && !cli.layers.has_log_filter();
    let filter = if is_quiet { LogFilter::quiet() } else { config.log.filter.clone() };
    telemetry::init(&filter, config.log.format);
    match cli.command {
        Command::Serve(serve) => serve.run(settings.config).await,
        Command::Page(page) => page.run(config).await,
        Command::Enqueue(enqueue) => enqueue.run(config).await,
        Command::Status(status) => status.run(config).await,
        Command::Show(show) => show.run(config).await,
        Command::Replay(replay) => replay.run(config).await,
        Command::Export(export) => export.run(config).await,
        Command::Report(report) => report.run(config).await,
        Command::Reconcile(reconcile) => reconcile.run(config).await,
        Command::Pause(pause) => pause.run(config).await,
        Command::Resume(resume) => resume.run(config).await,
        Command::Holds(holds) => holds.run(config).await,
        Command::Dead(dead) => dead.run(config).await,
        Command::Quarantine(quarantine) => quarantine.run(config).await,
        Command::Ca(ca) => ca.run(config).await,
        Command::Doctor(doctor) => doctor.run(&settings).await,
        Command::Audit(audit) => audit.run(config).await,
        Command::Token(token) => token.run(),
        Command::Prune(prune) => prune.run(config).await,
        Command::Demo(demo) => demo.run().await,
        Command::Sandbox(sandbox) => sandbox.run(config).await,
        Command::Migrate => migrate::run(config).await,
        Command::Config(config) => config.run(&settings),
    }
}
