//! `muster doctor`: whether everything is as a worker needs it.

use std::process::ExitCode;

use clap::Args;

use super::format::printable;
use super::{exit, stdout};
use crate::config::Settings;
use crate::operator::doctor::{CheckResult, Examination, Finding};

/// Checks everything that a worker needs: a line for each check, and what mends it.
///
/// Settings, credentials and clock, queues, permissions, quotas, Postgres, the address of metrics, workers and holds.
/// Every check is made, whatever others find; what depends on something that failed is skipped. Nothing is changed
/// anywhere.
///
/// Permissions are found out with calls that can have no effect: SQS gets a made-up receipt, AWS IoT a text that is no
/// certificate, which costs one call of the quota for each target and operation. Exit code 0: no problem, warnings are
/// fine; 6: there is one.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Tries the permission of every operation, not only of RegisterCertificate.
    #[arg(long)]
    all_operations: bool,
    /// Prints the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Makes every check.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let examination = Examination {
            config: &settings.config,
            file: settings.file.as_deref(),
            all_operations: self.all_operations,
        };
        // A very large future, which would sit in every future around it.
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

/// A line, and one for the mend.
fn text(finding: &Finding) -> String {
    let check = <&str>::from(finding.check).replace('_', " ");
    let subject = if finding.subject.is_empty() { String::new() } else { format!(" {}", printable(&finding.subject)) };
    let line = format!("{:<8} {check}{subject}: {}\n", finding.verdict.to_string(), printable(&finding.found));
    let mend = finding.mend.as_ref().map(|mend| format!("         mend: {}\n", printable(mend)));
    line + &mend.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Check;

    #[test]
    fn a_finding_is_a_line_with_its_mend_below() {
        let mut finding = Finding {
            check: Check::PostgresTls,
            subject: String::new(),
            verdict: CheckResult::Ok,
            found: "TLSv1.3\u{1b}[31m".into(),
            mend: None,
        };
        assert_eq!(text(&finding), "ok       postgres tls: TLSv1.3\u{fffd}[31m\n");
        finding = Finding { check: Check::Queue, subject: "jobs".into(), verdict: CheckResult::Problem, ..finding };
        finding.mend = Some("make it".into());
        assert_eq!(text(&finding), "problem  queue jobs: TLSv1.3\u{fffd}[31m\n         mend: make it\n");
    }
}
