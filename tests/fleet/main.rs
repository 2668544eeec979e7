//! `cargo fleet`: how well several real workers share one quota.
//!
//! Runs the real program N times, a sandbox in this process, a private Postgres, and a queue that does not run empty.
//! All figures come from the sandbox's call log. It measures and does not judge, except for the bound in a run that
//! only counts. Data goes to standard output, progress to standard error.

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
