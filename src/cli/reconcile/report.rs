//! The result of a comparison, for people and as JSON.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::Reconcile;
use crate::cli::format::{grouped, printable};
use crate::cli::{exit, stdout};
use crate::operator::reconcile::{FindingExample, Findings, FixesMade, Reconciliation};
use muster_core::certificate::CertificateId;
use muster_core::job::Name;

/// Why a job cannot be resent.
const NOT_KEPT: &str = "the ledger did not keep the certificates";

/// What was compared and what was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ReconcileReport<'a> {
    target: &'a Name,
    account: String,
    region: String,
    batch: Option<&'a Name>,
    ca: Option<CertificateId>,
    sample: Option<u32>,
    n_calls: u64,
    #[serde(flatten)]
    findings: Findings,
    /// Rows that were already gone and can be resent; counted only with `--repair`.
    n_gone_before: u64,
    /// What was changed; null: nothing.
    done: Option<FixesMade>,
    #[serde(skip)]
    is_repair: bool,
}

impl<'a> ReconcileReport<'a> {
    pub(super) fn of(order: &'a Reconcile, run: &Reconciliation, n_gone_before: u64) -> Self {
        let mut findings = run.findings().clone();
        findings.began_at = findings.began_at.truncate_to_second();
        Self {
            target: &order.target,
            account: run.account().id.clone(),
            region: run.account().region.clone(),
            batch: order.batch.as_ref(),
            ca: order.ca,
            sample: order.sample.map(Into::into),
            n_calls: run.n_calls(),
            findings,
            n_gone_before,
            done: None,
            is_repair: order.repair,
        }
    }

    /// Returns whether there is anything to change.
    pub(super) fn has_work(&self) -> bool {
        let found = &self.findings;
        found.missing_at_aws.n + found.other_status.n_unknown + self.n_to_send() > 0
    }

    pub(super) fn code(&self) -> ExitCode {
        if self.findings.has_drift() || self.n_to_send() > 0 { exit::PROBLEMS.into() } else { ExitCode::SUCCESS }
    }

    /// Returns the maximum number of jobs that would be resent.
    fn n_to_send(&self) -> u64 {
        let found = &self.findings;
        let n_missing = found.missing_at_aws.n - found.missing_at_aws.n_without_certificate;
        if self.is_repair { n_missing + found.failed_in_ledger.n_sendable + self.n_gone_before } else { 0 }
    }

    /// Returns what would be changed, as the question for the operator.
    pub(super) fn question(&self) -> String {
        let found = &self.findings;
        let (n_gone, n_updated) = (grouped(found.missing_at_aws.n), grouped(found.other_status.n_unknown));
        let resend = match self.n_to_send() {
            0 => String::new(),
            n => format!(", and resend {} jobs", grouped(n)),
        };
        format!("mark {n_gone} rows as gone, update the status of {n_updated}{resend}")
    }

    /// Returns the counts for the audit.
    pub(super) fn counts(&self) -> Value {
        let found = &self.findings;
        json!({
            "missing_at_aws": found.missing_at_aws.n,
            "unknown_to_the_ledger": found.unknown_to_the_ledger.n,
            "ended_otherwise": found.failed_in_ledger.n,
            "other_status": found.other_status.n,
            "gone_before": self.n_gone_before,
        })
    }

    /// Prints the findings.
    pub(super) fn print(&self, is_json: bool) -> anyhow::Result<()> {
        if is_json {
            stdout::print_json(self)?;
        } else {
            stdout::print(self)?;
            if self.has_work() {
                stdout::print(format_args!("\nto do: {}\n", self.question()))?;
            }
        }
        Ok(())
    }

    /// Adds what was changed.
    pub(super) fn done(self, done: FixesMade) -> Self {
        Self { done: Some(done), ..self }
    }

    /// Prints what was changed; as JSON, together with the findings.
    pub(super) fn print_done(&self, is_json: bool) -> anyhow::Result<()> {
        if is_json {
            return self.print(true);
        }
        let done = self.done.unwrap_or_default();
        stdout::print(format_args!(
            "\ndone: marked {} rows as gone, updated the status of {}\n",
            grouped(done.n_gone),
            grouped(done.n_learnt)
        ))?;
        if done.n_gone_without_certificate > 0 {
            let n = grouped(done.n_gone_without_certificate);
            stdout::print(format_args!("resend {n} of them with `muster enqueue`: {NOT_KEPT}\n"))?;
        }
        if self.is_repair {
            stdout::print(format_args!("{} jobs are resent as soon as a worker runs\n", grouped(done.n_resent)))?;
        }
        Ok(())
    }
}

impl fmt::Display for ReconcileReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.findings;
        writeln!(f, "target {} ({} in {})", self.target, self.account, self.region)?;
        match (self.batch, self.ca) {
            (Some(batch), _) => writeln!(f, "only batch {batch}")?,
            (None, Some(ca)) => writeln!(f, "only certificates issued by CA {ca}")?,
            (None, None) => {}
        }
        match found.n_listed {
            Some(n) => writeln!(f, "AWS listed {} certificates", grouped(n))?,
            None => writeln!(f, "a sample: certificates that the ledger lacks were not looked for")?,
        }
        writeln!(f, "{} were looked up by id, {} calls in total", grouped(found.n_described), grouped(self.n_calls))?;
        if found.n_of_unknown_ca > 0 {
            let n = grouped(found.n_of_unknown_ca);
            writeln!(f, "{n} were skipped: the ledger did not keep the certificate, so the CA is unknown")?;
        }
        if !found.has_drift() {
            writeln!(f, "the ledger and AWS agree")?;
        }
        self.missing(f)?;
        self.unknown(f)?;
        self.failed_in_ledger(f)?;
        self.other_status(f)?;
        match self.n_gone_before {
            0 => Ok(()),
            n => writeln!(f, "\nalready gone, and not resent yet: {}", grouped(n)),
        }
    }
}

impl ReconcileReport<'_> {
    fn missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = &self.findings.missing_at_aws;
        let title = "registered in the ledger, missing at AWS";
        section(f, missing.n, title, &missing.examples, |_| String::new())?;
        match missing.n_without_certificate {
            0 => Ok(()),
            n => writeln!(f, "resend {} with `muster enqueue`: {NOT_KEPT}", grouped(n)),
        }
    }

    fn unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = &self.findings.unknown_to_the_ledger;
        let title = "at AWS, not in the ledger (possibly registered just now)";
        section(f, unknown.n, title, &unknown.examples, status_at_aws)
    }

    fn failed_in_ledger(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = &self.findings.failed_in_ledger;
        let title = "at AWS, with another outcome in the ledger";
        let codes: Vec<String> = other.codes.iter().map(|(code, n)| format!("{code} {}", grouped(*n))).collect();
        let title = if other.n > 0 { format!("{title}: {}", codes.join(", ")) } else { title.to_owned() };
        let code =
            |example: &FindingExample| example.row.as_ref().map_or_else(String::new, |row| format!(", {}", row.code));
        section(f, other.n, &title, &other.examples, code)
    }

    fn other_status(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = &self.findings.other_status;
        let (not_wanted, unknown) = (grouped(other.n_not_wanted), grouped(other.n_unknown));
        let title = format!(
            "the status at AWS differs from the requested one ({not_wanted}), or the ledger did not know it ({unknown})"
        );
        let statuses = |example: &FindingExample| match &example.row {
            Some(row) => {
                let known = row.known_status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
                format!("{}, requested {}, in the ledger {known}", status_at_aws(example), row.wanted_status)
            }
            None => status_at_aws(example),
        };
        section(f, other.n, &title, &other.examples, statuses)
    }
}

/// Writes one kind of difference: the count and the first examples.
fn section(
    f: &mut fmt::Formatter<'_>,
    n: u64,
    title: &str,
    examples: &[FindingExample],
    more: impl Fn(&FindingExample) -> String,
) -> fmt::Result {
    if n == 0 {
        return Ok(());
    }
    writeln!(f, "\n{}: {title}", grouped(n))?;
    for example in examples {
        let row = example.row.as_ref().map_or_else(String::new, |row| {
            let reference =
                row.reference.as_ref().map_or_else(String::new, |name| format!(", ref {}", printable(name)));
            format!("  batch {}{reference}", printable(&row.batch))
        });
        writeln!(f, "    {}{row}{}", example.certificate_id, more(example))?;
    }
    if examples.len() as u64 != n {
        writeln!(f, "    ...")?;
    }
    Ok(())
}

fn status_at_aws(example: &FindingExample) -> String {
    format!(", {}", printable(example.status_at_aws.as_deref().unwrap_or("not registered")))
}
