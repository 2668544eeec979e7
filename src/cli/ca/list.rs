//! `muster ca list`: the CAs in the ledger with their status at AWS, those that jobs wait for, and those that could not
//! be registered.
//!
//! Each status comes from AWS (`aws_view`). A status that AWS does not return is shown as unknown and never fails the
//! list.

mod aws_view;

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::date;
use crate::cli::format::{printable, rfc3339};
use crate::cli::open_ledger::open_ledger;
use crate::cli::stdout;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::authority::{AuthorityReport, FailedAuthority};
use crate::ledger::hold::HoldReport;
use crate::operator::holds::jobs_wait;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, HoldKind, Notice};
use muster_core::job::{CertificateMode, CertificateStatus, Name};

use aws_view::AwsView;

/// Lists CAs: those in the ledger with their status at AWS, those that jobs wait for, and those that could not be
/// registered.
///
/// Reads the status of the first 100 CAs from AWS, five per second; this needs `iot:DescribeCACertificate`. The ledger
/// keeps the answers. If AWS cannot be asked, the status is shown as unknown, together with the last known one.
#[derive(Args, Debug)]
pub(super) struct ListCas {
    /// Shows only the ledger; does not ask AWS.
    #[arg(long)]
    offline: bool,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl ListCas {
    /// Reads the ledger and asks AWS.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let listing = self.read(config, &ledger).await;
        ledger.close().await;
        let listing = listing?;
        if self.json {
            stdout::print_json(&listing)?;
        } else {
            stdout::print(listing)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn read(&self, config: &Config, ledger: &Ledger) -> anyhow::Result<CaListing> {
        let reports = ledger.authority_reports().await?;
        let answers = if self.offline {
            vec![AwsView::Unknown("AWS was not asked (--offline)".to_owned()); reports.len()]
        } else {
            aws_view::ask(config, ledger, &reports).await
        };
        // Read after AWS was asked: no job waits any longer for a CA that turned out to be active.
        let holds = ledger.holds_report().await?;
        let known: Vec<_> = reports.into_iter().zip(answers).collect();
        let waited_for = holds.iter().filter_map(|hold| AwaitedCa::of(hold, &known)).collect();
        let registered = known.into_iter().map(|(report, view)| Registered::of(report, view)).collect();
        let failed_cas = ledger.failed_authorities().await?.into_iter().map(FailedCa::of).collect();
        Ok(CaListing { registered, waited_for, failed_cas })
    }
}

/// The output of `muster ca list`.
#[derive(Debug, Serialize)]
struct CaListing {
    registered: Vec<Registered>,
    /// CAs that are not registered or not active, and that jobs wait for.
    waited_for: Vec<AwaitedCa>,
    /// The last 1,000 CAs that could not be registered.
    failed_cas: Vec<FailedCa>,
}

/// A CA that is registered according to the ledger.
#[derive(Debug, Serialize)]
struct Registered {
    subject: String,
    certificate_id: CertificateId,
    account: String,
    region: String,
    targets: Vec<Name>,
    /// Null: unknown.
    certificate_mode: Option<CertificateMode>,
    /// The current status at AWS or, if AWS did not return it, the last known one. Null: unknown, or deleted at AWS.
    certificate_status: Option<CertificateStatus>,
    /// Source of the status: `aws` (current) or `ledger` (the last known one).
    status_source: &'static str,
    /// Why AWS did not return the status.
    status_unknown_because: Option<String>,
    /// Whether AWS has the CA. Null: unknown.
    is_at_aws: Option<bool>,
    valid_from: String,
    valid_until: String,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// Number of jobs waiting for it, counted up to 10,000 per target.
    n_waiting: u64,
}

/// A CA that jobs wait for, found through the hold on its certificates.
#[derive(Debug, Serialize)]
struct AwaitedCa {
    /// Null: an older version of Muster opened the hold, and the ledger does not know the CA.
    subject: Option<String>,
    target: String,
    /// Number of waiting jobs, counted up to 10,000.
    n_waiting: u64,
    hold: String,
    /// What is held, for people.
    title: String,
    /// The command that fixes it.
    fix: Option<String>,
}

/// A CA that could not be registered.
#[derive(Debug, Serialize)]
struct FailedCa {
    subject: Option<String>,
    certificate_id: Option<CertificateId>,
    target: String,
    batch: String,
    status: String,
    code: &'static str,
    detail: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    outcome_at: OffsetDateTime,
}

impl Registered {
    fn of(report: AuthorityReport, view: AwsView) -> Self {
        let AuthorityReport { authority, targets, n_waiting } = report;
        let (mode, known) = (authority.mode, authority.status);
        let (is_at_aws, certificate_status, certificate_mode, cause) = match view {
            AwsView::Has { status, mode: aws_mode } => (Some(true), Some(status), aws_mode.or(mode), None),
            AwsView::Gone => (Some(false), None, mode, None),
            AwsView::Unknown(cause) => (None, known, mode, Some(cause)),
        };
        Self {
            subject: authority.subject,
            certificate_id: authority.certificate_id,
            account: authority.account,
            region: authority.region,
            targets,
            certificate_mode,
            certificate_status,
            status_source: if is_at_aws.is_some() { "aws" } else { "ledger" },
            status_unknown_because: cause,
            is_at_aws,
            valid_from: date(authority.not_before),
            valid_until: date(authority.not_after),
            since: authority.registered_at.truncate_to_second(),
            n_waiting,
        }
    }

    /// Returns the status for people.
    fn status(&self) -> String {
        let known = self.certificate_status.map(|status| status.to_string());
        match (self.is_at_aws, &self.status_unknown_because) {
            (Some(false), _) => "not registered: AWS no longer has it".to_owned(),
            (_, Some(cause)) => {
                let known = known.map_or_else(
                    || "no earlier status is known".to_owned(),
                    |known| format!("it was {known} when Muster last set or read it"),
                );
                format!("unknown: {cause}; {known}")
            }
            (_, None) => known.unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// Returns the names of its targets, if any, and the account and region.
    fn location(&self) -> String {
        let names: Vec<_> = self.targets.iter().map(Name::as_str).collect();
        let account = format!("{} in {}", self.account, self.region);
        if names.is_empty() { account } else { format!("{} ({account})", names.join(", ")) }
    }
}

impl AwaitedCa {
    /// Returns the CA behind an issuer hold that jobs wait for; `None` for any other hold.
    fn of(report: &HoldReport, known: &[(AuthorityReport, AwsView)]) -> Option<Self> {
        let has_waiting_jobs = report.released_at.is_none() && report.n_waiting > 0;
        if report.hold.kind() != Some(HoldKind::Issuer) || !has_waiting_jobs {
            return None;
        }
        let namesakes = || known.iter().filter(|(ca, _)| ca.is_held_by(&report.hold));
        let ledger_subject = || Some(namesakes().next()?.0.authority.subject.clone());
        let subject = report.subject.clone().or_else(ledger_subject);
        let is_active =
            namesakes().any(|(_, view)| matches!(view, AwsView::Has { status: CertificateStatus::Active, .. }));
        let notice = Notice::of(&report.hold, subject.as_deref());
        let Notice { title, fix } = if is_active { active_now(&report.hold) } else { notice };
        Some(Self {
            subject,
            target: report.hold.issuer_target().unwrap_or_default().to_owned(),
            n_waiting: report.n_waiting,
            hold: report.hold.to_string(),
            title,
            fix,
        })
    }
}

/// Describes a hold whose CA, or another CA of the same name, has become active.
fn active_now(hold: &HoldKey) -> Notice {
    Notice {
        title: "AWS has an ACTIVE CA of this name: the next probe resends the jobs if that CA signed them".to_owned(),
        fix: Some(format!("muster holds release {}", printable(hold.as_str()))),
    }
}

impl FailedCa {
    fn of(failed: FailedAuthority) -> Self {
        Self {
            subject: failed.subject,
            certificate_id: failed.certificate_id,
            target: failed.target,
            batch: failed.batch,
            status: failed.code.status().to_string(),
            code: failed.code.as_str(),
            detail: failed.detail,
            outcome_at: failed.ended_at.truncate_to_second(),
        }
    }
}

impl fmt::Display for CaListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registered.is_empty() {
            writeln!(f, "The ledger has no registered CA.")?;
        } else {
            write_section(f, "Registered CAs:", &self.registered)?;
        }
        if !self.waited_for.is_empty() {
            write_section(f, "\nCAs that jobs wait for, not registered or not active:", &self.waited_for)?;
        }
        if !self.failed_cas.is_empty() {
            write_section(f, "\nCAs that could not be registered:", &self.failed_cas)?;
        }
        Ok(())
    }
}

fn write_section(f: &mut fmt::Formatter<'_>, heading: &str, rows: &[impl fmt::Display]) -> fmt::Result {
    writeln!(f, "{heading}")?;
    rows.iter().try_for_each(|row| write!(f, "{row}"))
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.certificate_mode.map_or_else(|| "unknown".to_owned(), |mode| mode.to_string());
        writeln!(f, "{}", printable(&self.subject))?;
        writeln!(f, "    {}", self.certificate_id)?;
        writeln!(f, "    {}", printable(&self.location()))?;
        writeln!(f, "    status {}", printable(&self.status()))?;
        writeln!(f, "    mode {mode}, valid until {}, in the ledger since {}", self.valid_until, rfc3339(self.since))?;
        if self.n_waiting > 0 {
            writeln!(f, "    {} for it", jobs_wait(self.n_waiting))?;
        }
        Ok(())
    }
}

impl fmt::Display for AwaitedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(self.subject.as_deref().unwrap_or("a CA of unknown name")))?;
        writeln!(f, "    {}", self.title)?;
        writeln!(f, "    {} for it", jobs_wait(self.n_waiting))?;
        self.fix.as_ref().map_or(Ok(()), |fix| writeln!(f, "    fix: {fix}"))
    }
}

impl fmt::Display for FailedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(self.subject.as_deref().unwrap_or("a CA that cannot be read")))?;
        if let Some(id) = self.certificate_id {
            writeln!(f, "    {id}")?;
        }
        let (target, batch) = (printable(&self.target), printable(&self.batch));
        writeln!(f, "    target {target}, batch {batch}, {}", rfc3339(self.outcome_at))?;
        writeln!(f, "    {} {}: {}", self.status, self.code, printable(self.detail.as_deref().unwrap_or_default()))
    }
}
