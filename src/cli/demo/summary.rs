//! The results of a demo. Every number comes from the ledger or the sandbox; the plan is used only to compare.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::line::LinePlan;
use crate::cli::enqueue;
use crate::ledger::BatchStatus;
use muster_core::outcome::{Code, Status};
use muster_sandbox;

/// The numbers of a demo.
#[derive(Debug, Serialize)]
pub(super) struct DemoSummary {
    /// Distinct certificates sent, plus messages that are not jobs.
    enqueued: u64,
    registered: u64,
    already_registered: u64,
    rejected: u64,
    refused: u64,
    exhausted: u64,
    /// Waiting until something is fixed.
    parked: u64,
    quarantined: u64,
    /// Sent, without an outcome, and neither parked nor quarantined.
    missing: u64,
    /// Duplicate messages.
    duplicates: u64,
    /// Outcomes by code.
    codes: BTreeMap<&'static str, u64>,
    /// Calls that the sandbox counted.
    iot_calls: usize,
    /// Calls that it throttled.
    throttled: usize,
    /// Share of the quota that was used; `None` if there were too few calls to measure it.
    quota_used: Option<f64>,
    /// Seconds from the first message to the last outcome.
    seconds: f64,
    /// Differences from the plan.
    wrong: Vec<String>,
}

/// A summary and, for the user's own certificates, the result of enqueueing them.
#[derive(Debug, Serialize)]
pub(super) struct DemoReport {
    #[serde(flatten)]
    pub summary: DemoSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<enqueue::Summary>,
}

/// The inputs of a summary.
#[derive(Debug)]
pub(super) struct DemoFacts<'a> {
    /// What should have happened.
    pub plan: &'a LinePlan,
    /// The ledger's counts.
    pub batch: &'a BatchStatus,
    /// The ledger's quarantine.
    pub quarantined: u64,
    /// The sandbox's count of calls.
    pub calls: &'a muster_sandbox::CallSummary,
    /// How many certificates the sandbox holds.
    pub held: usize,
    /// How long it took.
    pub took: Duration,
}

impl DemoSummary {
    /// Compares what happened with what should have happened.
    pub(super) fn of(facts: &DemoFacts<'_>) -> Self {
        let n_with = |status| facts.batch.with_status(status);
        let enqueued = facts.plan.enqueued();
        Self {
            enqueued,
            registered: n_with(Status::Registered),
            already_registered: n_with(Status::AlreadyRegistered),
            rejected: n_with(Status::Rejected),
            refused: n_with(Status::Refused),
            exhausted: n_with(Status::Exhausted),
            parked: facts.batch.parked(),
            quarantined: facts.quarantined,
            missing: enqueued.saturating_sub(facts.batch.finished() + facts.batch.parked() + facts.quarantined),
            duplicates: facts.plan.duplicates,
            codes: codes(facts.batch).into_iter().map(|(code, n)| (code.as_str(), n)).collect(),
            iot_calls: facts.calls.calls,
            throttled: facts.calls.throttled,
            quota_used: facts.calls.quota_used,
            seconds: facts.took.as_secs_f64(),
            wrong: wrong(facts),
        }
    }

    /// Returns whether a certificate failed because the sandbox does not know its issuing CA.
    pub(super) fn has_unknown_issuers(&self) -> bool {
        self.codes.contains_key(Code::IssuerInactive.as_str())
    }

    /// Returns whether every outcome is the planned one.
    pub(super) fn matches_plan(&self) -> bool {
        self.wrong.is_empty()
    }
}

fn codes(batch: &BatchStatus) -> BTreeMap<Code, u64> {
    let mut codes = BTreeMap::new();
    for count in &batch.counts {
        *codes.entry(count.code).or_default() += count.n;
    }
    codes
}

/// Lists every difference between what happened and the plan.
fn wrong(facts: &DemoFacts<'_>) -> Vec<String> {
    let found = codes(facts.batch);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: u64, expected: u64| {
        if found != expected {
            wrong.push(format!("{what}: found {found}, expected {expected}"));
        }
    };
    let mut all: Vec<Code> = found.keys().chain(facts.plan.outcomes.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    for code in all {
        let expected = facts.plan.outcomes.get(&code).copied().unwrap_or(0);
        compare(code.as_str(), found.get(&code).copied().unwrap_or(0), expected);
    }
    compare("quarantined", facts.quarantined, facts.plan.poisoned);
    let registered = facts.batch.with_status(Status::Registered);
    compare("certificates that the sandbox holds", facts.held as u64, registered);
    wrong
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(input) = &self.input {
            writeln!(f, "{input}")?;
        }
        self.summary.fmt(f)
    }
}

impl fmt::Display for DemoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, n: u64| writeln!(f, "  {what:<20}{n:>8}");
        line("registered", self.registered)?;
        line("already registered", self.already_registered)?;
        line("rejected", self.rejected)?;
        line("refused", self.refused)?;
        line("exhausted", self.exhausted)?;
        line("parked", self.parked)?;
        line("quarantined", self.quarantined)?;
        line("missing", self.missing)?;
        line("= enqueued", self.enqueued)?;
        writeln!(f)?;
        for (code, n) in &self.codes {
            writeln!(f, "  {n:>8}  {code}")?;
        }
        writeln!(f)?;
        writeln!(f, "{} messages were duplicates of another one and share its row.", self.duplicates)?;
        write!(f, "{} calls in {:.1} s, {} throttled", self.iot_calls, self.seconds, self.throttled)?;
        if let Some(used) = self.quota_used {
            write!(f, ", {:.1} % of the quota used", used * 100.0)?;
        }
        writeln!(f, ".")?;
        for wrong in &self.wrong {
            writeln!(f, "WRONG: {wrong}")?;
        }
        Ok(())
    }
}
