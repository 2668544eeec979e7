//! Checks whether workers are running, what they report, and what is held or paused, all from the ledger.

use std::collections::BTreeMap;

use strum::VariantArray;

use super::queues::ExaminedQueues;
use super::{Check, Finding};
use crate::ledger::{Ledger, LedgerError};
use crate::operator::situation::{Obstacle, Severity, Situation};
use muster_core::format::{counted, span};
use muster_core::hold::HoldKind;

pub(super) async fn check(queues: &ExaminedQueues, ledger: Option<&Ledger>) -> Vec<Finding> {
    let Some(ledger) = ledger else {
        return [Check::Work, Check::Holds]
            .map(|check| Finding::skipped(check, "", "the ledger cannot be read"))
            .to_vec();
    };
    let main = queues.0.first().and_then(|queue| queue.reached.as_ref().ok());
    let n_waiting = main.map_or(0, |main| main.attributes.messages());
    let situation = Situation::read(ledger).await;
    let work = situation.map_or_else(|error| vec![unread(Check::Work, &error)], |found| work(&found, n_waiting));
    [work, vec![held(ledger).await]].concat()
}

fn unread(check: Check, error: &LedgerError) -> Finding {
    Finding::skipped(check, "", error.to_string())
}

/// Reports the workers and each of their obstacles. A missing worker is an obstacle only if messages wait.
fn work(situation: &Situation, n_waiting: u64) -> Vec<Finding> {
    let obstacles = situation.obstacles();
    let is_missed = |obstacle: &&Obstacle| obstacle.kind != "no_worker" || n_waiting > 0;
    let is_of_holds = |obstacle: &Obstacle| HoldKind::VARIANTS.iter().any(|&kind| <&str>::from(kind) == obstacle.kind);
    let is_trouble = |obstacle: &&Obstacle| obstacle.severity < Severity::Attention && !is_of_holds(obstacle);
    let troubles = obstacles.iter().filter(is_trouble).filter(is_missed);
    let mut findings: Vec<_> = troubles
        .map(|obstacle| Finding::warning(Check::Work, &obstacle.kind, found(&obstacle.what, n_waiting), &obstacle.fix))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(Check::Work, "", workers(situation)));
    }
    findings
}

fn found(what: &str, n_waiting: u64) -> String {
    match n_waiting {
        0 => what.to_owned(),
        n => format!("{what}, and the queue holds {}", counted(n, "message", "messages")),
    }
}

/// Lists the running workers, each with its version and the age of its last heartbeat.
fn workers(situation: &Situation) -> String {
    let alive: Vec<_> = situation
        .alive()
        .map(|worker| format!("{} (version {}, reported {} ago)", worker.host, worker.version, span(worker.seen_ago)))
        .collect();
    if alive.is_empty() { "no worker is running".to_owned() } else { format!("running: {}", alive.join(", ")) }
}

async fn held(ledger: &Ledger) -> Finding {
    let holds = match ledger.open_holds().await {
        Ok(holds) => holds,
        Err(error) => return unread(Check::Holds, &error),
    };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for hold in holds {
        let word = hold.hold.kind().filter(|kind| !matches!(kind, HoldKind::Busy | HoldKind::Replay));
        if let Some(kind) = word {
            *kinds.entry(kind.into()).or_default() += 1;
        }
    }
    if kinds.is_empty() {
        return Finding::ok(Check::Holds, "", "nothing is held or paused");
    }
    let each: Vec<_> = kinds.iter().map(|(kind, n)| format!("{n} of kind {kind}")).collect();
    let fix = "`muster holds` shows why, `muster resume` ends a pause";
    Finding::warning(Check::Holds, "", format!("jobs are held: {}", each.join(", ")), fix)
}

#[cfg(test)]
mod tests {
    use super::super::CheckResult;
    use super::*;

    #[test]
    fn messages_without_a_worker_are_a_warning() {
        let none = Situation::default();
        assert_eq!(work(&none, 0)[0].verdict, CheckResult::Ok);
        let finding = &work(&none, 5)[0];
        assert_eq!(finding.verdict, CheckResult::Warning);
        assert_eq!(finding.found, "no worker is running, and the queue holds 5 messages");
    }
}
