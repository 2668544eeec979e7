//! Examines everything that a worker needs, and tells what is wrong and what mends it.
//!
//! Every check is made, whatever the others find; what depends on something that failed is skipped. It changes nothing
//! anywhere: calls that would are made with what cannot take effect.

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

/// Longest that one check waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is examined.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The file that they were read from.
    pub file: Option<&'a Path>,
    /// Permissions are tried for every operation, not only for `RegisterCertificate`.
    pub all_operations: bool,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What was looked at: a target, a queue, a permission; empty where there is only one.
    pub subject: String,
    /// What it comes to.
    pub verdict: CheckResult,
    /// What was found.
    pub found: String,
    /// What mends it.
    pub mend: Option<String>,
}

/// What a finding comes to.
#[derive(Clone, Copy, Debug, Display, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CheckResult {
    /// All is well.
    Ok,
    /// It works, and may lose work or waste calls.
    Warning,
    /// It cannot work.
    Problem,
    /// It was not checked; the finding says why.
    Skipped,
}

/// The checks.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Check {
    /// The settings among themselves.
    Settings,
    /// Whose credentials a target has.
    Identity,
    /// Whether a target's name still stands for the same account.
    Target,
    /// The clock of AWS.
    AwsClock,
    /// A queue of jobs.
    Queue,
    /// Its dead-letter queue.
    DeadLetterQueue,
    /// A call that must be allowed.
    Permission,
    /// A quota, and what was learnt of it.
    Quota,
    /// Whether Postgres can be reached.
    Postgres,
    /// Its version.
    PostgresVersion,
    /// Whether the connection is encrypted.
    PostgresTls,
    /// The ledger's schema.
    PostgresSchema,
    /// Whether the ledger can be written.
    PostgresRights,
    /// Whether there are connections left.
    PostgresConnections,
    /// The clock of Postgres.
    PostgresClock,
    /// The address of metrics and health.
    Admin,
    /// Whether a worker is at work.
    Work,
    /// What is held or paused.
    Holds,
}

impl Finding {
    fn new(check: Check, subject: &str, verdict: CheckResult, found: impl Into<String>) -> Self {
        Self { check, subject: subject.to_owned(), verdict, found: found.into(), mend: None }
    }

    fn ok(check: Check, subject: &str, found: impl Into<String>) -> Self {
        Self::new(check, subject, CheckResult::Ok, found)
    }

    fn skipped(check: Check, subject: &str, why: impl Into<String>) -> Self {
        Self::new(check, subject, CheckResult::Skipped, why)
    }

    fn warning(check: Check, subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..Self::new(check, subject, CheckResult::Warning, found) }
    }

    fn problem(check: Check, subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..Self::new(check, subject, CheckResult::Problem, found) }
    }

    /// What does not fit, as settings and queues are told it at the start of a worker.
    fn misfit(check: Check, subject: &str, finding: &fit::FitFinding) -> Self {
        let verdict = if finding.is_fatal() { CheckResult::Problem } else { CheckResult::Warning };
        Self { mend: Some(finding.hint()), ..Self::new(check, subject, verdict, finding.to_string()) }
    }
}

impl Examination<'_> {
    /// Makes every check; the order of what they found is always the same.
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

/// Makes things at the same time, and gives what came of each in their order.
async fn all<T: Send + 'static>(futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    let mut ended = Vec::with_capacity(tasks.len());
    for task in tasks {
        ended.push(task.await.expect("no check panics"));
    }
    ended
}
