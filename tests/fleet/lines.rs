//! Fairness: one line sends a hundred times as much as each of nine others, and all of it before they send anything.
//!
//! The fair share of each line is a tenth of the rate, so a small line could be done in 10 x its jobs / rate.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use muster_core::certificate::CertificateId;
use muster_sandbox::Limiting;
use serde_json::json;

use crate::arguments::Arguments;
use crate::figures::rounded;
use crate::jobs;
use crate::plant::Plant;
use crate::report::Report;
use crate::run::Run;
use crate::site::Plan;

/// Number of lines, including the big one.
const LINES: usize = 10;

/// Number of jobs of the big line for each job of a small one.
const BIG: usize = 100;

/// How often to check whether the small lines are done.
const CHECK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn measure(arguments: &Arguments) -> Report {
    let limiting = Limiting::Enforce;
    let plan = Plan { target: "default", account: "111111111111", real_rate: arguments.real_rate(), limiting };
    let plant = Plant::build(vec![plan], arguments).await;
    let line_of = fill(&plant, usize::try_from(arguments.jobs_per_line).unwrap()).await;

    let run = Run::start(&plant, arguments).await;
    let started = run.started;
    let ledger = plant.sites[0].ledger();
    let mut missing: Vec<CertificateId> = line_of.keys().copied().collect();
    while !missing.is_empty() {
        tokio::time::sleep(CHECK_EVERY).await;
        missing.retain(|id| ledger.certificate(*id).is_none());
    }
    let mut figures = run.stop(arguments).await;

    let share = f64::from(arguments.jobs_per_line) * 10.0 / arguments.rate.per_second();
    let completion_times = completion_times(&plant, &line_of, started);
    let slowest = completion_times.iter().copied().fold(0.0, f64::max);
    figures["real_rate"] = json!(arguments.real_rate().per_second());
    figures["jobs_per_line"] = arguments.jobs_per_line.into();
    figures["fair_share_seconds"] = json!(rounded(share));
    figures["slowest_small_line_seconds"] = json!(rounded(slowest));
    figures["ratio"] = json!(rounded(slowest / share));
    figures["small_line_seconds"] = completion_times.into_iter().map(rounded).collect();
    Report { figures, violation: None }
}

/// Fills the queue, and returns the small line of each certificate.
async fn fill(plant: &Plant, n_each: usize) -> HashMap<CertificateId, usize> {
    let n_big = n_each * BIG;
    let n_all = n_big + n_each * (LINES - 1);
    eprintln!("{n_all} messages, {n_big} of them from one line");
    let mut certificates = jobs::certificates(&plant.ca, n_all).await;
    let small = certificates.split_off(n_big);
    let messages: Vec<_> = certificates.into_iter().map(|pem| jobs::for_line("line-1", pem)).collect();
    plant.send(&messages).await;
    let line_of = |i: usize| i % (LINES - 1);
    let lines = small.iter().enumerate().map(|(i, pem)| (jobs::id(pem), line_of(i))).collect();
    let small = small.into_iter().enumerate();
    let messages: Vec<_> = small.map(|(i, pem)| jobs::for_line(&format!("line-{}", line_of(i) + 2), pem)).collect();
    plant.send(&messages).await;
    lines
}

/// Returns when the last certificate of each small line was registered, in seconds after the first call.
fn completion_times(plant: &Plant, line_of: &HashMap<CertificateId, usize>, started: Instant) -> Vec<f64> {
    let mut completion_times = vec![0.0; LINES - 1];
    for call in plant.sites[0].calls_from(0) {
        let Some(&line) = call.registered.and_then(|id| line_of.get(&id)) else { continue };
        completion_times[line] = (call.at - started).as_secs_f64();
    }
    completion_times
}
