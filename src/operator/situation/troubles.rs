//! The open circuit breakers that workers report: denials, outages, ledger and queue failures.

use std::collections::BTreeMap;

use super::{Obstacle, Severity};
use crate::ledger::workers::WorkerReport;
use muster_core::format::printable;
use muster_core::trouble::Trouble;

/// The circuit breakers that are not also visible as holds in the ledger.
const SHOWN: [&str; 4] = ["auth", "outage", "postgres", "sqs"];

/// Lists the troubles of these workers, each once, with the newest reason.
pub(super) fn reported(workers: &[&WorkerReport]) -> Vec<Obstacle> {
    let mut troubles: BTreeMap<(&str, &str), (&Trouble, usize)> = BTreeMap::new();
    for trouble in workers.iter().flat_map(|worker| &worker.troubles) {
        if SHOWN.contains(&trouble.breaker.as_ref()) {
            troubles.entry((&trouble.breaker, &trouble.what)).or_insert((trouble, 0)).1 += 1;
        }
    }
    troubles.into_values().map(|(trouble, n)| obstacle(trouble, n, workers.len())).collect()
}

/// Creates the obstacle for a trouble that `n` of `n_workers` workers report.
fn obstacle(trouble: &Trouble, n: usize, n_workers: usize) -> Obstacle {
    let Trouble { breaker, what, reason } = trouble;
    let severity = if n == n_workers { Severity::Stopped } else { Severity::Slowed };
    let who = if n == n_workers { String::new() } else { format!(", on {n} of {n_workers} workers") };
    let (what_happens, fix) = match breaker.as_ref() {
        "auth" => (
            format!("AWS denies {}", of_target(what)),
            "renew the credentials or allow the call, then check with `muster doctor`; workers retry every 30 s",
        ),
        "outage" => (
            format!("AWS IoT does not answer {}", of_target(what)),
            "check the network with `muster doctor`; workers retry every 30 s",
        ),
        "postgres" => ("the ledger fails or is too slow".to_owned(), "check Postgres with `muster doctor`"),
        _ => ("SQS fails".to_owned(), "check the queue and its permissions with `muster doctor`"),
    };
    Obstacle::new(severity, breaker, format!("{what_happens}{who}: {}", printable(reason)), fix).about(what)
}

/// Formats `default:RegisterCertificate` as `RegisterCertificate of target default`.
fn of_target(what: &str) -> String {
    match what.rsplit_once(':') {
        Some((target, operation)) => format!("{operation} of target {}", printable(target)),
        None => printable(what),
    }
}
