//! Checks the targets: the identity behind each, whether its name still refers to that account, and the clock of AWS.

use super::{Check, Finding, PATIENCE, all};
use crate::aws::identity::{self, IdentityAnswer};
use crate::config::Config;
use crate::health::clock::describe_skew;
use crate::ledger::{Ledger, LedgerError};
use muster_core::account::Account;
use muster_core::format::span;
use muster_core::role::RoleArn;

/// Largest accepted clock difference to AWS, in seconds. AWS refuses requests signed five minutes off; this check fails
/// a minute earlier.
const SKEW_MAX: f64 = 240.0;

/// Every target with AWS's answer about it.
pub(super) struct ExaminedTargets(pub(super) Vec<ExaminedTarget>);

pub(super) struct ExaminedTarget {
    pub(super) name: String,
    role: Option<RoleArn>,
    pub(super) asked: IdentityAnswer,
}

impl ExaminedTarget {
    /// Returns the target's account, if AWS confirmed it.
    pub(super) fn account(&self) -> Option<&Account> {
        self.asked.answer.as_ref().ok().map(|(_, account)| account)
    }
}

impl ExaminedTargets {
    /// Determines the identity of every target, concurrently.
    pub(super) async fn ask(config: &Config) -> Self {
        let targets = config.targets.iter().map(|(name, settings)| {
            let (name, role, access) = (name.clone(), settings.role_arn.clone(), settings.access(&config.aws));
            async move { ExaminedTarget { name, role, asked: identity::ask(&access, PATIENCE).await } }
        });
        Self(all(targets).await)
    }

    pub(super) fn identities(&self) -> Vec<Finding> {
        self.0.iter().map(ExaminedTarget::identity).collect()
    }

    /// Checks that the ledger has the same account and region for each name.
    pub(super) async fn names(&self, ledger: Option<&Ledger>) -> Vec<Finding> {
        let mut findings = Vec::with_capacity(self.0.len());
        for target in &self.0 {
            findings.push(target.name_in(ledger).await);
        }
        findings
    }

    /// Reports the clock difference, from the first answer that has one.
    pub(super) fn clock(&self) -> Vec<Finding> {
        let ahead = self.0.iter().find_map(|target| target.asked.clock_ahead);
        vec![ahead.map_or_else(|| Finding::skipped(Check::AwsClock, "", "no answer of AWS carried a date"), clock)]
    }
}

impl ExaminedTarget {
    fn identity(&self) -> Finding {
        let role = self.role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
        match &self.asked.answer {
            Ok((_, account)) => {
                let found = format!("account {account}{role}, answered in {}", span(self.asked.took));
                Finding::ok(Check::Identity, &self.name, found)
            }
            Err(error) => Finding::problem(Check::Identity, &self.name, format!("{error}{role}"), error.hint()),
        }
    }

    async fn name_in(&self, ledger: Option<&Ledger>) -> Finding {
        let skipped = |why| Finding::skipped(Check::Target, &self.name, why);
        let Some(account) = self.account() else { return skipped("AWS did not confirm the account") };
        let Some(ledger) = ledger else { return skipped("the ledger cannot be read") };
        let checked = ledger.check_target(&self.name, &account.id, &account.region).await;
        match checked {
            Ok(()) => Finding::ok(Check::Target, &self.name, "the ledger has no other account or region for this name"),
            Err(error @ LedgerError::TargetChanged { .. }) => {
                let fix = "use a new target name for the new account or region, or the credentials of the old one";
                Finding::problem(Check::Target, &self.name, error.to_string(), fix)
            }
            Err(error) => skipped(&error.to_string()),
        }
    }
}

fn clock(ahead: f64) -> Finding {
    let (off, behind_or_ahead) = describe_skew(ahead);
    let found = format!("AWS is {off} {behind_or_ahead} this machine, give or take half a second");
    if ahead.abs() > SKEW_MAX {
        let fix =
            "synchronize this machine's clock (chrony, systemd-timesyncd): AWS refuses calls signed five minutes off";
        return Finding::problem(Check::AwsClock, "", found, fix);
    }
    Finding::ok(Check::AwsClock, "", found)
}

#[cfg(test)]
mod tests {
    use super::super::CheckResult;
    use super::*;

    #[test]
    fn clock_skew_is_reported_before_aws_refuses_calls() {
        for (ahead, verdict) in [
            (0.4, CheckResult::Ok),
            (-200.0, CheckResult::Ok),
            (241.0, CheckResult::Problem),
            (-3600.0, CheckResult::Problem),
        ] {
            assert_eq!(clock(ahead).verdict, verdict, "{ahead}");
        }
        assert!(clock(-3600.0).found.starts_with("AWS is 1 h behind this machine"));
    }
}
