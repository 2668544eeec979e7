//! What a replay would do, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::cli::format::{grouped, span, time_for};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::replay::{LOOKED_AT_MAX, Matching};
use muster_core::job::Operation;
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;

/// What would be sent again.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    /// How many jobs would be sent again.
    sent_again: u64,
    /// There are more than the 100,000 that were looked at: all numbers are of those.
    is_more: bool,
    /// Of those sent again: in meanwhile, so that they cost no call.
    registered_meanwhile: u64,
    /// Not sent again: the ledger kept no request of them.
    without_request: u64,
    /// Not sent again: they wait to be sent, or were sent and have not ended since.
    under_way: u64,
    by_code: Vec<Share>,
    /// How long their calls take at the rates of their targets; null: one is not known.
    seconds_at_quota: Option<f64>,
}

/// Jobs of one target and operation that ended for one reason.
#[derive(Debug, Serialize)]
struct Share {
    code: Code,
    status: String,
    target: String,
    operation: Operation,
    n: u64,
    sent_again: u64,
    registered_meanwhile: u64,
}

impl Forecast {
    /// Asks the ledger.
    pub(super) async fn of(config: &Config, ledger: &Ledger, filter: &ReplayFilter) -> anyhow::Result<Self> {
        let plan = ledger.plan_replay(filter).await?;
        let sum = |n: fn(&Matching) -> u64| plan.matching.iter().map(n).sum();
        Ok(Self {
            sent_again: sum(|its| its.n_chosen),
            is_more: plan.is_more,
            registered_meanwhile: sum(|its| its.n_known),
            without_request: sum(|its| its.n_without_request),
            under_way: sum(|its| its.n_under_way),
            seconds_at_quota: seconds(config, ledger, &plan.matching).await?,
            by_code: plan.matching.into_iter().map(Share::of).collect(),
        })
    }

    /// How many jobs would be sent again.
    pub(super) fn n_chosen(&self) -> u64 {
        self.sent_again
    }

    /// What the operator is asked.
    pub(super) fn question(&self) -> String {
        let or_more = if self.is_more { " or more" } else { "" };
        format!("Send {}{or_more} jobs again", grouped(self.sent_again))
    }
}

impl Share {
    fn of(its: Matching) -> Self {
        Self {
            code: its.code,
            status: its.status.to_string(),
            target: its.target,
            operation: its.operation,
            n: its.n,
            sent_again: its.n_chosen,
            registered_meanwhile: its.n_known,
        }
    }
}

/// How long the calls take: targets and operations have quotas of their own, and work side by side.
async fn seconds(config: &Config, ledger: &Ledger, matching: &[Matching]) -> anyhow::Result<Option<f64>> {
    let mut calls: BTreeMap<(String, Operation), u64> = BTreeMap::new();
    for its in matching {
        *calls.entry((its.target.clone(), its.operation)).or_default() += its.n_chosen - its.n_known;
    }
    let operations: Vec<_> = calls.keys().cloned().collect();
    let reports = ledger.rate_reports(&operations).await?;
    let rate = |target: &str, operation: Operation| {
        let is_its = |report: &&_| is_of(report, target, operation);
        let learnt = reports.iter().find(is_its).map(|report| report.learnt);
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
                "nothing ended so; `muster status` tells what failed, and what failed for good must be named by --code or --status"
            );
        }
        let of_more = if self.is_more { format!(" of the first {}", grouped(LOOKED_AT_MAX)) } else { String::new() };
        writeln!(f, "{} jobs{of_more} are to be sent again", grouped(self.sent_again))?;
        for share in self.by_code.iter().filter(|share| share.sent_again > 0) {
            let (n, target) = (grouped(share.sent_again), &share.target);
            writeln!(f, "{n:>11}  {} ({} at {target})", share.code, <&str>::from(share.operation))?;
        }
        let rest = [
            (self.registered_meanwhile, "of these are in meanwhile, by another batch: they cost no call"),
            (self.under_way, "are not: they are being sent again already (--even-sent sends them once more)"),
            (self.without_request, "are not: the ledger kept no request of them, so give them again"),
        ];
        for (n, what) in rest.iter().filter(|(n, _)| *n > 0) {
            writeln!(f, "{:>11}  {what}", grouped(*n))?;
        }
        let time = self
            .seconds_at_quota
            .filter(|_| self.sent_again > 0)
            .and_then(|s| std::time::Duration::try_from_secs_f64(s.ceil()).ok());
        time.map_or(Ok(()), |time| {
            writeln!(f, "{:>11}  at the quota, beside which other work has its part", span(time))
        })?;
        let names_what_fails_for_good = |share: &&Share| share.sent_again > 0 && is_for_good(share.code);
        if self.by_code.iter().any(|share| names_what_fails_for_good(&share)) {
            writeln!(
                f,
                "Some of these failed for good: unless what was wrong is mended outside, they will fail again."
            )?;
        }
        Ok(())
    }
}

/// Says whether nothing but a change at AWS, of the settings or of the certificate helps.
fn is_for_good(code: Code) -> bool {
    !ReplayFilter::usual_codes().contains(&code) && code != Code::Deleted
}
