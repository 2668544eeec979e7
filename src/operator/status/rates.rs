//! The learnt rates, for people and as JSON.

use std::fmt::{self, Write as _};

use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::rate_limit::{Change, RateChangeReason, RateReport};
use muster_core::format::rfc3339;

/// The rate of one target and operation, in calls per second.
#[derive(Debug, Serialize, ToSchema)]
pub struct LearntRate {
    /// Name of the target.
    pub target: String,
    /// The AWS call.
    pub operation: String,
    /// The configured rate.
    pub ceiling: f64,
    /// The learnt rate.
    pub learnt: f64,
    /// The last 100 changes, the latest first.
    pub changes: Vec<ShownChange>,
}

/// A change of a learnt rate.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownChange {
    /// When it changed.
    pub at: String,
    /// The rate from then on, in calls per second.
    pub rate: f64,
    /// Why: `configured`, `throttled` or `unthrottled`.
    pub reason: &'static str,
    #[serde(skip)]
    why: RateChangeReason,
}

impl From<&RateReport> for LearntRate {
    fn from(report: &RateReport) -> Self {
        let show = |&Change { at, rate, reason }: &Change| ShownChange {
            at: rfc3339(at),
            rate,
            reason: reason.into(),
            why: reason,
        };
        Self {
            target: report.target.clone(),
            operation: report.operation.clone(),
            ceiling: report.ceiling,
            learnt: report.learnt,
            changes: report.changes.iter().map(show).collect(),
        }
    }
}

impl LearntRate {
    /// Returns one line, unless the rate has always been the quota.
    pub fn line(&self) -> Option<String> {
        // The first change is the initial configuration.
        let changed = self.learnt < self.ceiling || self.changes.len() > 1;
        let why = self.changes.first().filter(|_| changed)?.line();
        Some(format!("{:>11}  of {} a second learnt for {}, {why}", figure(self.learnt), self.ceiling, self.target))
    }

    /// Returns the changes, one per line.
    pub fn table(&self) -> String {
        let Self { target, operation, .. } = self;
        let mut table = format!("\ncalls per second of {operation} for {target}, the latest change first:\n");
        for change in &self.changes {
            writeln!(table, "{:>11}  {}", figure(change.rate), change.line()).expect("writing to a string cannot fail");
        }
        table
    }
}

impl ShownChange {
    fn line(&self) -> String {
        let why = match self.why {
            RateChangeReason::Configured => "configured",
            RateChangeReason::Throttled => "cut by a throttle",
            RateChangeReason::Unthrottled => "raised for lack of throttles",
        };
        format!("{why} {}", self.at)
    }
}

/// Formats a rate with more digits below 1 per second.
fn figure(rate: f64) -> impl fmt::Display {
    if rate < 1.0 { format!("{rate:.3}") } else { format!("{rate:.1}") }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn rate(learnt: f64, changes: &[(f64, RateChangeReason)]) -> LearntRate {
        let at = datetime!(2026-11-22 03:30:00.5 UTC);
        let changes = changes.iter().map(|&(rate, reason)| Change { at, rate, reason }).collect();
        let (target, operation) = ("default".into(), "RegisterCertificate".into());
        LearntRate::from(&RateReport { target, operation, ceiling: 100.0, learnt, changes })
    }

    #[test]
    fn a_rate_that_never_changed_has_no_line() {
        assert_eq!(rate(100.0, &[(100.0, RateChangeReason::Configured)]).line(), None);
    }

    #[test]
    fn a_learnt_rate_is_shown_with_its_last_change() {
        let cut = rate(37.24, &[(37.24, RateChangeReason::Throttled), (100.0, RateChangeReason::Configured)]);
        let wanted = "       37.2  of 100 a second learnt for default, cut by a throttle 2026-11-22T03:30:00Z";
        assert_eq!(cut.line().unwrap(), wanted);
        let raised = rate(100.0, &[(100.0, RateChangeReason::Unthrottled), (90.0, RateChangeReason::Throttled)]);
        let wanted =
            "      100.0  of 100 a second learnt for default, raised for lack of throttles 2026-11-22T03:30:00Z";
        assert_eq!(raised.line().unwrap(), wanted);
    }

    #[test]
    fn every_change_has_a_line_in_the_table() {
        assert_eq!(
            rate(0.2, &[(0.2, RateChangeReason::Throttled), (100.0, RateChangeReason::Configured)]).table(),
            "
calls per second of RegisterCertificate for default, the latest change first:
      0.200  cut by a throttle 2026-11-22T03:30:00Z
      100.0  configured 2026-11-22T03:30:00Z
"
        );
    }
}
