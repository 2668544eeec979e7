//! `cargo fleet`: how well several real workers share one quota.
//!
//! The real program N times, a sandbox in this process, a Postgres of its own, and a queue that does not run empty. All
//! figures come from the sandbox's ledger. It measures and does not judge, but for the bound of a run that only counts.
//! Data on standard output, talk on standard error.

#![cfg(test)]

mod allowed;
mod arguments;
mod figures;
mod jobs;
mod lines;
mod plant;
mod plot;
mod progress;
#[path = "../stage/queue.rs"]
mod queue;
mod quota;
mod report;
mod run;
#[path = "../stage/server.rs"]
#[expect(dead_code, reason = "this Postgres is never stopped or frozen")]
mod server;
mod site;
mod strikes;
mod targets;
mod workers;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(&arguments));
    if arguments.json {
        println!("{:#}", report.figures);
    } else {
        print!("{}", report.text());
    }
    match report.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("violated: {violation}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> report::Report {
    if arguments.lines {
        lines::measure(arguments).await
    } else if arguments.targets {
        targets::measure(arguments).await
    } else {
        quota::measure(arguments).await
    }
}
