//! `muster doctor`: checks everything that a worker needs, and reports what is wrong and how to fix it.
//!
//! Every check runs regardless of the others; one that depends on a failed check is reported as skipped. The doctor
//! changes nothing: permissions to write are tested with requests that cannot take effect, such as made-up receipt
//! handles.

mod ledger;
mod listener;
mod permissions;
mod queues;
mod quotas;
mod settings;
mod targets;
mod work;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use strum::{Display, IntoStaticStr};

use crate::config::Config;
use crate::health::fit;

use ledger::ExaminedLedger;
use queues::ExaminedQueues;
use targets::ExaminedTargets;

/// How long one check waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The file that the settings were read from.
    pub file: Option<&'a Path>,
    /// Whether to test the permissions of every operation, not only of `RegisterCertificate`.
    pub all_operations: bool,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
#[serde(into = "FindingJson")]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// What was checked: a target, a queue, a permission. Empty if there is only one.
    pub subject: String,
    /// The verdict.
    pub verdict: CheckResult,
    /// What was found.
    pub found: String,
    /// How to fix it.
    pub fix: Option<String>,
}

/// A finding as JSON. `mend` is the former name of `fix`; the next version removes it.
#[derive(Serialize)]
struct FindingJson {
    check: Check,
    subject: String,
    verdict: CheckResult,
    found: String,
    fix: Option<String>,
    mend: Option<String>,
}

impl From<Finding> for FindingJson {
    fn from(Finding { check, subject, verdict, found, fix }: Finding) -> Self {
        Self { check, subject, verdict, found, mend: fix.clone(), fix }
    }
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, Display, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CheckResult {
    /// No problem.
    Ok,
    /// Works, but may lose work or waste calls.
    Warning,
    /// Does not work.
    Problem,
    /// Not checked; the finding says why.
    Skipped,
}

/// The checks.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Check {
    /// Whether the settings are consistent.
    Settings,
    /// The identity behind a target's credentials.
    Identity,
    /// Whether a target's name still refers to the same account.
    Target,
    /// The clock difference to AWS.
    AwsClock,
    /// A job queue.
    Queue,
    /// Its dead-letter queue.
    DeadLetterQueue,
    /// A permission to call AWS.
    Permission,
    /// A quota: its configured and its learnt rate.
    Quota,
    /// Whether Postgres is reachable.
    Postgres,
    /// The version of Postgres.
    PostgresVersion,
    /// Whether the connection is encrypted.
    PostgresTls,
    /// The ledger's schema.
    PostgresSchema,
    /// Whether the ledger's tables are writable.
    PostgresRights,
    /// Whether enough connections are free.
    PostgresConnections,
    /// The clock difference to Postgres.
    PostgresClock,
    /// The listen address of metrics and health.
    Admin,
    /// Whether a worker is running, and the obstacles that workers report.
    Work,
    /// Open holds and pauses.
    Holds,
}

impl Finding {
    fn new(check: Check, subject: &str, verdict: CheckResult, found: impl Into<String>) -> Self {
        Self { check, subject: subject.to_owned(), verdict, found: found.into(), fix: None }
    }

    fn ok(check: Check, subject: &str, found: impl Into<String>) -> Self {
        Self::new(check, subject, CheckResult::Ok, found)
    }

    fn skipped(check: Check, subject: &str, why: impl Into<String>) -> Self {
        Self::new(check, subject, CheckResult::Skipped, why)
    }

    fn warning(check: Check, subject: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(check, subject, CheckResult::Warning, found) }
    }

    fn problem(check: Check, subject: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(check, subject, CheckResult::Problem, found) }
    }

    /// Converts a mismatch, with the same text that a worker logs at startup.
    fn mismatch(check: Check, subject: &str, finding: &fit::FitFinding) -> Self {
        let verdict = if finding.is_fatal() { CheckResult::Problem } else { CheckResult::Warning };
        Self { fix: Some(finding.hint()), ..Self::new(check, subject, verdict, finding.to_string()) }
    }
}

impl Examination<'_> {
    /// Runs every check. The findings are always in the same order.
    pub async fn run(&self) -> Vec<Finding> {
        let (examined, targets, queues, admin) = tokio::join!(
            ExaminedLedger::reach(self.config),
            ExaminedTargets::ask(self.config),
            ExaminedQueues::reach(self.config),
            listener::check(self.config),
        );
        let ledger = examined.ledger.as_ref();
        let (names, of_queues, of_targets, quotas, work) = tokio::join!(
            targets.names(ledger),
            permissions::of_queues(&queues),
            permissions::of_targets(&targets, self.all_operations),
            quotas::check(self.config, &targets, ledger),
            work::check(&queues, ledger),
        );
        let findings = [
            settings::check(self.config, self.file),
            targets.identities(),
            names,
            targets.clock(),
            queues.findings(self.config),
            of_queues,
            of_targets,
            quotas,
            examined.findings,
            admin,
            work,
        ];
        if let Some(ledger) = ledger {
            ledger.close().await;
        }
        findings.concat()
    }
}

/// Runs futures concurrently and returns their results in order.
async fn all<T: Send + 'static>(futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.expect("no check panics"));
    }
    results
}
