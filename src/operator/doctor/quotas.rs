//! Reports each quota: the configured rate, the learnt rate, and how long a million certificates take.

use std::collections::HashMap;
use std::time::Duration;

use strum::VariantArray;

use super::targets::{ExaminedTarget, ExaminedTargets};
use super::{Check, Finding};
use crate::config::{Config, TargetRates};
use crate::health::fit;
use crate::ledger::Ledger;
use crate::ledger::rate_limit::RateReport;
use muster_core::account::Account;
use muster_core::format::{rate, span};
use muster_core::job::Operation;

/// Below this share of the configured rate, the learnt rate shows that AWS allows less than configured.
const LEARNT_MIN: f64 = 0.8;

const MILLION: f64 = 1e6;

pub(super) async fn check(config: &Config, targets: &ExaminedTargets, ledger: Option<&Ledger>) -> Vec<Finding> {
    let wanted: Vec<_> = config
        .targets
        .keys()
        .flat_map(|target| Operation::VARIANTS.iter().map(move |&operation| (target.clone(), operation)))
        .collect();
    let reports = match ledger {
        Some(ledger) => ledger.rate_reports(&wanted).await.map_err(|error| error.to_string()),
        None => Err("the ledger cannot be read".to_owned()),
    };
    let mut findings: Vec<_> = wanted
        .iter()
        .map(|(target, operation)| {
            let configured = config.targets[target].rates.of(*operation).per_second();
            let learnt = reports.as_ref().map(|reports| learnt(reports, target, *operation));
            quota(target, *operation, configured, learnt)
        })
        .collect();
    findings.extend(disagreements(config, targets));
    findings
}

/// Returns the report of a target's operation, if a worker ever opened its quota.
fn learnt<'a>(reports: &'a [RateReport], target: &str, operation: Operation) -> Option<&'a RateReport> {
    reports.iter().find(|report| report.target == target && report.operation == <&str>::from(operation))
}

fn quota(target: &str, operation: Operation, configured: f64, learnt: Result<Option<&RateReport>, &String>) -> Finding {
    let subject = format!("{operation} of {target}");
    let check = Check::Quota;
    let million = |rate: f64| span(Duration::try_from_secs_f64(MILLION / rate).unwrap_or(Duration::MAX));
    let (configured, per_second) = (rate(configured), configured);
    match learnt {
        Err(error) => {
            let found =
                format!("{configured}/s configured, a million takes {}; what was learnt: {error}", million(per_second));
            Finding::skipped(check, &subject, found)
        }
        Ok(None) => {
            let found =
                format!("{configured}/s configured, nothing learnt yet, a million takes {}", million(per_second));
            Finding::ok(check, &subject, found)
        }
        Ok(Some(report)) => {
            // A worker with other settings may have set another ceiling. Its learnt rate is judged by that ceiling.
            let found = format!(
                "{configured}/s configured, {}/s learnt of {}/s, a million takes {}",
                rate(report.learnt),
                rate(report.ceiling),
                million(report.learnt)
            );
            if report.learnt < LEARNT_MIN * report.ceiling {
                let fix = format!(
                    "AWS throttles: set `targets.{target}.rates.{}` to the account's quota, ask AWS for a higher one, or find \
                     out who else calls it",
                    TargetRates::key_of(operation)
                );
                return Finding::warning(check, &subject, found, fix);
            }
            Finding::ok(check, &subject, found)
        }
    }
}

/// Reports targets that share a quota but configure different rates.
fn disagreements(config: &Config, targets: &ExaminedTargets) -> Vec<Finding> {
    let mut firsts: HashMap<&Account, &ExaminedTarget> = HashMap::new();
    let mut findings = Vec::new();
    for its in &targets.0 {
        let Some(account) = its.account() else { continue };
        let first = firsts.entry(account).or_insert(its);
        let rates = (&config.targets[&first.name].rates, &config.targets[&its.name].rates);
        for &operation in
            Operation::VARIANTS.iter().filter(|&&operation| rates.0.of(operation) != rates.1.of(operation))
        {
            let mismatch = fit::FitFinding::OneQuotaTwoRates {
                one: first.name.clone(),
                other: its.name.clone(),
                key: TargetRates::key_of(operation),
                account: account.id.clone(),
                region: account.region.clone(),
                rates: (rates.0.of(operation).per_second(), rates.1.of(operation).per_second()),
            };
            findings.push(Finding::mismatch(Check::Quota, &format!("{operation} of {}", its.name), &mismatch));
        }
    }
    findings
}
