//! `muster show`: everything that the ledger knows about a certificate.

mod aws;
mod fields;
mod line;
mod query;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::open_ledger::open_ledger;
use super::stdout;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::certificate::CertificateRow;
use muster_core::certificate::{Certificate, CertificateId, chain};
use muster_core::job::Request;

use aws::AtAws;
use fields::CertificateFields;
use line::RowLine;
use muster_core::advice::Advice;
pub(super) use query::CertificateQueryError;
use query::{CertificateQuery, QueryKind};

/// Maximum number of rows to show.
const ROWS_MAX: u32 = 100;

/// Shows everything that the ledger knows about a certificate.
///
/// Shows each of its rows, one per batch: its outcome and why, every AWS call with its request id, and what it waits
/// for. The certificate's own fields are read from the copy in the ledger.
#[derive(Args, Debug)]
pub(super) struct ShowCommand {
    /// The certificate: a PEM or DER file, its id (64 hex digits), its serial number as OpenSSL prints it, or the
    /// producer's name (`ref`) for the device.
    certificate: String,
    /// What CERTIFICATE is, if it is ambiguous.
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    kind: Option<QueryKind>,
    /// Also asks AWS at each target that the ledger names; needs iot:DescribeCertificate.
    #[arg(long)]
    aws: bool,
    /// Prints only the certificate, as PEM.
    #[arg(long, conflicts_with_all = ["aws", "json"])]
    pem: bool,
    /// Prints everything as JSON.
    #[arg(long)]
    json: bool,
}

/// There is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingKnown {
    /// The ledger has no row.
    #[error("the ledger does not know {0}")]
    Row(String),
    /// The ledger has rows, but none contains the certificate.
    #[error("the ledger does not keep the certificate of {0}")]
    Pem(String),
}

impl Advice for NothingKnown {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Row(_) => {
                "a certificate is known once it has an outcome; `--as id|serial|ref|file` specifies what you passed, and \
                 rows written by older versions cannot be found by serial number"
            }
            Self::Pem(_) => "the job contained no readable certificate, or an older version recorded it",
        };
        Some(hint.into())
    }
}

impl ShowCommand {
    /// Looks up the certificate and prints it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let query = CertificateQuery::read(&self.certificate, self.kind)?;
        let ledger = open_ledger(config).await?;
        let shown = self.look_up(config, &ledger, &query).await;
        ledger.close().await;
        let shown = shown?;
        if self.pem {
            stdout::print(shown.pem().ok_or_else(|| NothingKnown::Pem(query.to_string()))?)?;
        } else if self.json {
            stdout::print_json(&shown)?;
        } else {
            stdout::print(shown)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn look_up(
        &self,
        config: &Config,
        ledger: &Ledger,
        query: &CertificateQuery,
    ) -> anyhow::Result<ShownCertificate> {
        let mut entries = query.entries(ledger, ROWS_MAX + 1).await?;
        if entries.is_empty() {
            return Err(NothingKnown::Row(query.to_string()).into());
        }
        let has_more = entries.len() > ROWS_MAX as usize;
        entries.truncate(ROWS_MAX as usize);
        let mut shown = ShownCertificate::of(entries, query.certificate(), has_more);
        if self.aws {
            aws::ask(config, ledger, &mut shown.certificates).await?;
        }
        Ok(shown)
    }
}

/// The certificates found.
#[derive(Debug, Serialize)]
struct ShownCertificate {
    certificates: Vec<KnownCertificate>,
    /// There are more rows than are shown.
    has_more: bool,
}

/// Everything known about one certificate.
#[derive(Debug, Serialize)]
struct KnownCertificate {
    /// Null: the job contained no readable certificate.
    certificate_id: Option<CertificateId>,
    /// Its fields; null: the ledger does not keep the certificate.
    certificate: Option<CertificateFields>,
    rows: Vec<RowLine>,
    /// AWS's answer per target; null: not asked.
    at_aws: Option<Vec<AtAws>>,
    #[serde(skip)]
    pem: Option<String>,
}

impl ShownCertificate {
    /// Groups the rows by certificate.
    fn of(entries: Vec<CertificateRow>, from_file: Option<&Certificate>, has_more: bool) -> Self {
        let mut by_subject: BTreeMap<[u8; 32], Vec<CertificateRow>> = BTreeMap::new();
        for entry in entries {
            by_subject.entry(entry.row.subject).or_default().push(entry);
        }
        Self {
            certificates: by_subject.into_values().map(|entries| KnownCertificate::of(&entries, from_file)).collect(),
            has_more,
        }
    }

    /// Returns the stored certificates as PEM; `None` if there are none.
    fn pem(&self) -> Option<String> {
        let pems: String = self.certificates.iter().filter_map(|known| known.pem.as_deref()).collect();
        (!pems.is_empty()).then_some(pems)
    }
}

impl KnownCertificate {
    fn of(entries: &[CertificateRow], from_file: Option<&Certificate>) -> Self {
        let certificate_id = entries.iter().find_map(|entry| entry.row.certificate_id);
        let certificate = entries.iter().find_map(stored_certificate).or_else(|| from_file.cloned());
        let certificate = certificate.filter(|certificate| Some(certificate.id()) == certificate_id);
        Self {
            certificate_id,
            certificate: certificate.as_ref().map(CertificateFields::of),
            rows: entries.iter().map(RowLine::of).collect(),
            at_aws: None,
            pem: certificate.as_ref().map(Certificate::to_pem),
        }
    }
}

/// Returns the certificate stored in a row or in its request.
fn stored_certificate(entry: &CertificateRow) -> Option<Certificate> {
    let row = &entry.row;
    if let Some(der) = &row.certificate {
        return Certificate::from_der(der).ok();
    }
    let request = Request::read(row.operation, row.outcome.request.as_deref()?).ok()?;
    match row.certificate_id {
        Some(id) => chain::with_id(request.pem(), id),
        None => request.certificate(),
    }
}

impl fmt::Display for ShownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, known) in self.certificates.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{known}")?;
        }
        if self.has_more { writeln!(f, "\nthere are more rows: only the first {ROWS_MAX} are shown") } else { Ok(()) }
    }
}

impl fmt::Display for KnownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certificate_id {
            Some(id) => writeln!(f, "certificate {id}")?,
            None => writeln!(f, "a text without a readable certificate")?,
        }
        match &self.certificate {
            Some(fields) => write!(f, "{fields}")?,
            None if self.certificate_id.is_some() => writeln!(f, "    the ledger does not keep the certificate")?,
            None => {}
        }
        self.rows.iter().try_for_each(|row| write!(f, "\n{row}"))?;
        let Some(at_aws) = &self.at_aws else { return Ok(()) };
        writeln!(f)?;
        at_aws.iter().try_for_each(|answer| answer.fmt(f))
    }
}
