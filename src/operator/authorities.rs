//! CAs: those in the ledger with their status at AWS, those that jobs wait for, and those that could not
//! be registered.
//!
//! Each status comes from AWS (`aws_view`). A status that AWS does not return is shown as unknown and never fails the
//! list.

mod aws_view;

use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::config::Config;
use crate::ledger::authority::{AuthorityReport, FailedAuthority};
use crate::ledger::hold::HoldReport;
use crate::ledger::{Ledger, LedgerError};
use crate::operator::holds::jobs_wait;
use muster_core::certificate::CertificateId;
use muster_core::format::{printable, rfc3339};
use muster_core::hold::{HoldKey, HoldKind, Notice};
use muster_core::job::{CertificateMode, CertificateStatus, Name};

use aws_view::AwsView;

impl CaListing {
    /// Reads the ledger and asks AWS about the first 100 CAs, five per second.
    pub async fn with_aws(config: &Config, ledger: &Ledger) -> Result<Self, LedgerError> {
        let reports = ledger.authority_reports().await?;
        let answers = aws_view::ask(config, ledger, &reports).await;
        // Read after AWS was asked: no job waits any longer for a CA that turned out to be active.
        Self::of(ledger, reports, answers).await
    }

    /// Reads only the ledger; `why` says why AWS is not asked.
    pub async fn without_aws(ledger: &Ledger, why: &str) -> Result<Self, LedgerError> {
        let reports = ledger.authority_reports().await?;
        let answers = vec![AwsView::Unknown(why.to_owned()); reports.len()];
        Self::of(ledger, reports, answers).await
    }

    async fn of(ledger: &Ledger, reports: Vec<AuthorityReport>, answers: Vec<AwsView>) -> Result<Self, LedgerError> {
        let holds = ledger.holds_report().await?;
        let known: Vec<_> = reports.into_iter().zip(answers).collect();
        let waited_for = holds.iter().filter_map(|hold| AwaitedCa::of(hold, &known)).collect();
        let registered = known.into_iter().map(|(report, view)| RegisteredCa::of(report, view)).collect();
        let failed_cas = ledger.failed_authorities().await?.into_iter().map(FailedCa::of).collect();
        Ok(Self { registered, waited_for, failed_cas })
    }
}

/// The CAs that Muster knows.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaListing {
    /// CAs that are registered according to the ledger.
    pub registered: Vec<RegisteredCa>,
    /// CAs that are not registered or not active, and that jobs wait for.
    pub waited_for: Vec<AwaitedCa>,
    /// The last 1,000 CAs that could not be registered.
    pub failed_cas: Vec<FailedCa>,
}

/// A CA that is registered according to the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegisteredCa {
    /// Its distinguished name.
    pub subject: String,
    /// AWS certificate id.
    #[schema(value_type = String)]
    pub certificate_id: CertificateId,
    /// AWS account.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// The targets of the account and region.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<Name>,
    /// Null: unknown.
    #[schema(value_type = Option<String>)]
    pub certificate_mode: Option<CertificateMode>,
    /// The current status at AWS or, if AWS did not return it, the last known one. Null: unknown, or deleted at AWS.
    #[schema(value_type = Option<String>)]
    pub certificate_status: Option<CertificateStatus>,
    /// Source of the status: `aws` (current) or `ledger` (the last known one).
    pub status_source: &'static str,
    /// Why AWS did not return the status.
    pub status_unknown_because: Option<String>,
    /// Whether AWS has the CA. Null: unknown.
    pub is_at_aws: Option<bool>,
    /// Start of its validity.
    pub valid_from: String,
    /// End of its validity.
    pub valid_until: String,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Number of jobs waiting for it, counted up to 10,000 per target.
    pub n_waiting: u64,
}

/// A CA that jobs wait for, found through the hold on its certificates.
#[derive(Debug, Serialize, ToSchema)]
pub struct AwaitedCa {
    /// Null: an older version of Muster opened the hold, and the ledger does not know the CA.
    pub subject: Option<String>,
    /// Name of the target.
    pub target: String,
    /// Number of waiting jobs, counted up to 10,000.
    pub n_waiting: u64,
    /// Key of the hold.
    pub hold: String,
    /// What is held, for people.
    pub title: String,
    /// The command that fixes it.
    pub fix: Option<String>,
}

/// A CA that could not be registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailedCa {
    /// Its distinguished name. Null: unknown.
    pub subject: Option<String>,
    /// AWS certificate id. Null: the text cannot be read.
    #[schema(value_type = Option<String>)]
    pub certificate_id: Option<CertificateId>,
    /// Name of the target.
    pub target: String,
    /// Name of the batch.
    pub batch: String,
    /// The status.
    pub status: String,
    /// The code.
    pub code: &'static str,
    /// Details beyond the code.
    pub detail: Option<String>,
    /// When the job got its outcome.
    #[serde(with = "time::serde::rfc3339")]
    pub outcome_at: OffsetDateTime,
}

impl RegisteredCa {
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
    pub fn status(&self) -> String {
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
    pub fn location(&self) -> String {
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

/// Formats a certificate's time. Its year may be one that RFC 3339 cannot express.
pub fn date(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

fn write_section(f: &mut fmt::Formatter<'_>, heading: &str, rows: &[impl fmt::Display]) -> fmt::Result {
    writeln!(f, "{heading}")?;
    rows.iter().try_for_each(|row| write!(f, "{row}"))
}

impl fmt::Display for RegisteredCa {
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
