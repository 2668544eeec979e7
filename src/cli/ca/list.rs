//! `muster ca list`: the CAs that the ledger knows, and those that are not in.

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::date;
use crate::certificate::CertificateId;
use crate::cli::figures::{jobs_wait, printable, rfc3339};
use crate::cli::{ledger, stdout};
use crate::config::Config;
use crate::job::{CertificateMode, CertificateStatus, Name};
use crate::store::Store;
use crate::store::authority::{AuthorityReport, FailedAuthority};

/// Lists the CAs that the ledger knows to be registered, and those that are not in.
///
/// The status and the mode are those that Muster registered a CA with: of one that was there before they are unknown, and
/// whoever changes them elsewhere does not tell.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    /// Reads the ledger.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let listing = Listing::read(&store).await;
        store.close().await;
        let listing = listing?;
        if self.json {
            stdout::print_json(&listing)?;
        } else {
            stdout::print(listing)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All of them.
#[derive(Debug, Serialize)]
struct Listing {
    registered: Vec<Registered>,
    /// The last thousand that are not in.
    not_in: Vec<NotIn>,
}

/// A CA that is in.
#[derive(Debug, Serialize)]
struct Registered {
    subject: String,
    certificate_id: CertificateId,
    account: String,
    region: String,
    targets: Vec<Name>,
    /// Null: unknown.
    certificate_mode: Option<CertificateMode>,
    /// Null: unknown.
    certificate_status: Option<CertificateStatus>,
    valid_from: String,
    valid_until: String,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// How many jobs wait for it, counted up to 10,000 for each target.
    n_waiting: u64,
}

/// A CA that is not in.
#[derive(Debug, Serialize)]
struct NotIn {
    subject: Option<String>,
    certificate_id: Option<CertificateId>,
    target: String,
    batch: String,
    status: String,
    code: &'static str,
    detail: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    ended_at: OffsetDateTime,
}

impl Listing {
    async fn read(store: &Store) -> anyhow::Result<Self> {
        Ok(Self {
            registered: store.authority_reports().await?.into_iter().map(Registered::of).collect(),
            not_in: store.failed_authorities().await?.into_iter().map(NotIn::of).collect(),
        })
    }
}

impl Registered {
    fn of(report: AuthorityReport) -> Self {
        let AuthorityReport { authority, targets, n_waiting } = report;
        Self {
            subject: authority.subject,
            certificate_id: authority.certificate_id,
            account: authority.account,
            region: authority.region,
            targets,
            certificate_mode: authority.mode,
            certificate_status: authority.status,
            valid_from: date(authority.not_before),
            valid_until: date(authority.not_after),
            since: authority.registered_at.truncate_to_second(),
            n_waiting,
        }
    }

    /// Where it is registered, as jobs name it where any can.
    fn place(&self) -> String {
        let names: Vec<_> = self.targets.iter().map(Name::as_str).collect();
        let account = format!("{} in {}", self.account, self.region);
        if names.is_empty() { account } else { format!("{} ({account})", names.join(", ")) }
    }
}

impl NotIn {
    fn of(failed: FailedAuthority) -> Self {
        Self {
            subject: failed.subject,
            certificate_id: failed.certificate_id,
            target: failed.target,
            batch: failed.batch,
            status: failed.code.status().to_string(),
            code: failed.code.as_str(),
            detail: failed.detail,
            ended_at: failed.ended_at.truncate_to_second(),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registered.is_empty() {
            writeln!(f, "no CA is known to be registered")?;
        }
        self.registered.iter().try_for_each(|its| its.fmt(f))?;
        if !self.not_in.is_empty() {
            writeln!(f, "\nnot in:")?;
        }
        self.not_in.iter().try_for_each(|its| its.fmt(f))
    }
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.certificate_status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        let mode = self.certificate_mode.map_or_else(|| "unknown".to_owned(), |mode| mode.to_string());
        writeln!(f, "{}", printable(&self.subject))?;
        writeln!(f, "    {}", self.certificate_id)?;
        writeln!(f, "    {}", printable(&self.place()))?;
        writeln!(f, "    status {status}, mode {mode}, valid until {}", self.valid_until)?;
        if self.n_waiting > 0 {
            writeln!(f, "    {} for it", jobs_wait(self.n_waiting))?;
        }
        Ok(())
    }
}

impl fmt::Display for NotIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(self.subject.as_deref().unwrap_or("a CA that cannot be read")))?;
        if let Some(id) = self.certificate_id {
            writeln!(f, "    {id}")?;
        }
        let (target, batch) = (printable(&self.target), printable(&self.batch));
        writeln!(f, "    target {target}, batch {batch}, {}", rfc3339(self.ended_at))?;
        writeln!(f, "    {} {}: {}", self.status, self.code, printable(self.detail.as_deref().unwrap_or_default()))
    }
}
