//! `muster status --check`: reports the problems of a batch.

use std::process::ExitCode;

use crate::cli::exit::PROBLEMS;
use crate::cli::format::grouped;
use crate::cli::talk::talk;
use crate::operator::situation::Severity;
use crate::operator::status::{BatchReport, FailureGroup};

/// Prints a line per problem, or that there is none, and returns the exit code.
pub(super) fn check(report: &BatchReport) -> ExitCode {
    let problems = problems(report);
    if problems.is_empty() {
        talk(&format!("nothing is wrong with batch {}: {}", report.batch, report.headline()));
        return ExitCode::SUCCESS;
    }
    for problem in problems {
        talk(&format!("problem: {problem}"));
    }
    PROBLEMS.into()
}

fn problems(report: &BatchReport) -> Vec<String> {
    let obstacles = report.obstacles.iter().filter(|obstacle| obstacle.severity < Severity::Attention);
    let mut problems: Vec<String> =
        obstacles.map(|obstacle| format!("{}; fix: {}", obstacle.what, obstacle.fix)).collect();
    problems.extend(report.missing_line().or_else(|| {
        let outstanding = report.outstanding.filter(|&n| n > 0)?;
        Some(format!("{} outstanding: announced, no outcome yet", grouped(outstanding)))
    }));
    let line = |what: &'static str| move |failure: &FailureGroup| line(what, failure);
    problems.extend(report.failures.iter().map(line("failed as")));
    problems.extend(report.parked_for.iter().map(line("parked as")));
    if report.status_differs > 0 {
        let n = grouped(report.status_differs);
        problems.push(format!("{n} at AWS with another status than requested, or an unknown one"));
    }
    problems
}

fn line(what: &str, failure: &FailureGroup) -> String {
    let example = failure.example_line();
    let example = if example.is_empty() { example } else { format!(", for example {}", example.trim_start()) };
    format!("{} {what} {}{example}", grouped(failure.n), failure.code)
}
