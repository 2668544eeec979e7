//! `muster doctor`: checks everything that a worker needs.

use std::process::ExitCode;

use clap::Args;

use super::format::printable;
use super::{exit, stdout};
use crate::config::Settings;
use crate::operator::doctor::{CheckResult, Examination, Finding};

/// Checks everything that a worker needs: prints a line per check, and how to fix each problem.
///
/// Checks settings, credentials, clock, queues, permissions, quotas, Postgres, the metrics address, workers and holds.
/// Every check runs regardless of the others, except that a check whose precondition failed is skipped. Nothing is
/// changed.
///
/// Permissions are tested with calls that have no effect: SQS gets an invalid receipt, AWS IoT a text that is not a
/// certificate. The latter costs one call of the quota per target and operation. Exits with 0 if there is no problem
/// (warnings are allowed), with 6 otherwise.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Tests the permissions of every operation, not only of RegisterCertificate.
    #[arg(long)]
    all_operations: bool,
    /// Prints the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs every check.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let examination = Examination {
            config: &settings.config,
            file: settings.file.as_deref(),
            all_operations: self.all_operations,
        };
        // Boxed because this very large future would be part of every future around it.
        let findings = Box::pin(examination.run()).await;
        if self.json {
            stdout::print_json(&findings)?;
        } else {
            for finding in &findings {
                stdout::print(text(finding))?;
            }
        }
        let has_problem = findings.iter().any(|finding| finding.verdict == CheckResult::Problem);
        Ok(if has_problem { exit::PROBLEMS.into() } else { ExitCode::SUCCESS })
    }
}

/// Returns the finding in one line, with its fix on a second one.
fn text(finding: &Finding) -> String {
    let check = <&str>::from(finding.check).replace('_', " ");
    let subject = if finding.subject.is_empty() { String::new() } else { format!(" {}", printable(&finding.subject)) };
    let line = format!("{:<8} {check}{subject}: {}\n", finding.verdict.to_string(), printable(&finding.found));
    let fix = finding.fix.as_ref().map(|fix| format!("         fix: {}\n", printable(fix)));
    line + &fix.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Check;

    #[test]
    fn a_finding_is_one_line_followed_by_its_fix() {
        let mut finding = Finding {
            check: Check::PostgresTls,
            subject: String::new(),
            verdict: CheckResult::Ok,
            found: "TLSv1.3\u{1b}[31m".into(),
            fix: None,
        };
        assert_eq!(text(&finding), "ok       postgres tls: TLSv1.3\u{fffd}[31m\n");
        finding = Finding { check: Check::Queue, subject: "jobs".into(), verdict: CheckResult::Problem, ..finding };
        finding.fix = Some("make it".into());
        assert_eq!(text(&finding), "problem  queue jobs: TLSv1.3\u{fffd}[31m\n         fix: make it\n");
    }
}
