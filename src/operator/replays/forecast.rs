//! Predicts what a replay would do, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::replay::{EXAMINED_MAX, Matching};
use muster_core::format::{grouped, span, time_for};
use muster_core::job::Operation;
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;

/// What would be resent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forecast {
    /// Number of jobs that would be resent.
    pub to_resend: u64,
    /// There are more than the 100,000 jobs that were counted; all counts cover only those.
    pub is_more: bool,
    /// Of those resent: certificates registered meanwhile, which cost no call.
    pub registered_meanwhile: u64,
    /// Not resent: the ledger kept no request of them.
    pub without_request: u64,
    /// Not resent: they wait to be sent, or were resent and have no outcome yet.
    pub in_progress: u64,
    /// The matching jobs by target, operation, status and code, most first.
    pub by_code: Vec<ReplayShare>,
    /// How long the calls take at the rates of their targets; null: a rate is unknown.
    pub seconds_at_quota: Option<f64>,
}

/// Jobs of one target and operation with one code.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayShare {
    /// The code.
    #[schema(value_type = String)]
    pub code: Code,
    /// The status.
    pub status: String,
    /// Name of the target.
    pub target: String,
    /// The AWS call.
    #[schema(value_type = String)]
    pub operation: Operation,
    /// Number of matching jobs.
    pub n: u64,
    /// How many of them would be resent.
    pub to_resend: u64,
    /// How many of those are registered meanwhile and cost no call.
    pub registered_meanwhile: u64,
}

impl Forecast {
    /// Reads the forecast from the ledger.
    pub async fn of(config: &Config, ledger: &Ledger, filter: &ReplayFilter) -> anyhow::Result<Self> {
        let plan = ledger.plan_replay(filter).await?;
        let sum = |n: fn(&Matching) -> u64| plan.matching.iter().map(n).sum();
        Ok(Self {
            to_resend: sum(|group| group.n_chosen),
            is_more: plan.is_more,
            registered_meanwhile: sum(|group| group.n_known),
            without_request: sum(|group| group.n_without_request),
            in_progress: sum(|group| group.n_under_way),
            seconds_at_quota: seconds(config, ledger, &plan.matching).await?,
            by_code: plan.matching.into_iter().map(ReplayShare::of).collect(),
        })
    }

    /// Returns the number of jobs that would be resent.
    pub fn n_chosen(&self) -> u64 {
        self.to_resend
    }

    /// Returns the question for the operator.
    pub fn question(&self) -> String {
        let or_more = if self.is_more { " or more" } else { "" };
        format!("Resend {}{or_more} jobs", grouped(self.to_resend))
    }
}

impl ReplayShare {
    fn of(group: Matching) -> Self {
        Self {
            code: group.code,
            status: group.status.to_string(),
            target: group.target,
            operation: group.operation,
            n: group.n,
            to_resend: group.n_chosen,
            registered_meanwhile: group.n_known,
        }
    }
}

/// Returns how long the calls take. Each target and operation has its own quota, and they run concurrently.
async fn seconds(config: &Config, ledger: &Ledger, matching: &[Matching]) -> anyhow::Result<Option<f64>> {
    let mut calls: BTreeMap<(String, Operation), u64> = BTreeMap::new();
    for group in matching {
        *calls.entry((group.target.clone(), group.operation)).or_default() += group.n_chosen - group.n_known;
    }
    let operations: Vec<_> = calls.keys().cloned().collect();
    let reports = ledger.rate_reports(&operations).await?;
    let rate = |target: &str, operation: Operation| {
        let is_match = |report: &&_| is_of(report, target, operation);
        let learnt = reports.iter().find(is_match).map(|report| report.learnt);
        learnt.or_else(|| Some(config.targets.get(target)?.rates.of(operation).per_second()))
    };
    let times = calls.iter().map(|((target, operation), &n)| time_for(n, rate(target, *operation)?));
    Ok(times.map(|time| Some(time?.as_secs_f64())).try_fold(0.0, |longest, time| Some(f64::max(longest, time?))))
}

fn is_of(report: &crate::ledger::rate_limit::RateReport, target: &str, operation: Operation) -> bool {
    (report.target.as_str(), report.operation.as_str()) == (target, operation.into())
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_code.is_empty() {
            return writeln!(
                f,
                "no job matches; `muster status` lists the failures, and permanent failures must be named by --code or \
                 --status"
            );
        }
        let of_more = if self.is_more { format!(" of the first {}", grouped(EXAMINED_MAX)) } else { String::new() };
        writeln!(f, "{} jobs{of_more} would be resent", grouped(self.to_resend))?;
        for share in self.by_code.iter().filter(|share| share.to_resend > 0) {
            let (n, target) = (grouped(share.to_resend), &share.target);
            writeln!(f, "{n:>11}  {} ({} at {target})", share.code, <&str>::from(share.operation))?;
        }
        let rest = [
            (self.registered_meanwhile, "of these have been registered meanwhile by another batch: they cost no call"),
            (self.in_progress, "are skipped: they are already being resent (--even-sent includes them)"),
            (self.without_request, "are skipped: the ledger kept no request of them, so enqueue them again"),
        ];
        for (n, what) in rest.iter().filter(|(n, _)| *n > 0) {
            writeln!(f, "{:>11}  {what}", grouped(*n))?;
        }
        let time = self
            .seconds_at_quota
            .filter(|_| self.to_resend > 0)
            .and_then(|s| std::time::Duration::try_from_secs_f64(s.ceil()).ok());
        time.map_or(Ok(()), |time| writeln!(f, "{:>11}  at the quota, which other work shares", span(time)))?;
        if self.by_code.iter().any(|share| share.to_resend > 0 && is_permanent(share.code)) {
            writeln!(
                f,
                "Some of these are permanent failures: they will fail again unless their cause has been fixed."
            )?;
        }
        Ok(())
    }
}

/// Returns whether the failure is permanent: only a change at AWS, of the settings or of the certificate helps.
fn is_permanent(code: Code) -> bool {
    !ReplayFilter::usual_codes().contains(&code) && code != Code::Deleted
}
