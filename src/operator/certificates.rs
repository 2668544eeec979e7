//! Everything that the ledger knows about a certificate, and what AWS says about it.

mod at_aws;
mod fields;
mod query;
mod row;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::certificate::CertificateRow;
use muster_core::advice::Advice;
use muster_core::certificate::{Certificate, CertificateId, chain};
use muster_core::job::Request;

pub use at_aws::AtAws;
pub use fields::CertificateFields;
pub use query::{CertificateQuery, CertificateQueryError, QueryKind};
pub use row::{CertificateCall, RowLine};

/// Maximum number of rows to show.
pub const ROWS_MAX: u32 = 100;

/// There is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum NothingKnown {
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

/// Looks up a certificate in the ledger; the first [`ROWS_MAX`] rows are returned.
///
/// # Errors
/// [`NothingKnown`], or a ledger error.
pub async fn look_up(ledger: &Ledger, query: &CertificateQuery) -> anyhow::Result<ShownCertificate> {
    let mut entries = query.entries(ledger, ROWS_MAX + 1).await?;
    if entries.is_empty() {
        return Err(NothingKnown::Row(query.to_string()).into());
    }
    let has_more = entries.len() > ROWS_MAX as usize;
    entries.truncate(ROWS_MAX as usize);
    Ok(ShownCertificate::of(entries, query.certificate(), has_more))
}

impl ShownCertificate {
    /// Asks AWS about each certificate at the targets of its rows; at most five calls per second.
    ///
    /// # Errors
    /// AWS could not be asked, or a ledger error.
    pub async fn ask_aws(&mut self, config: &Config, ledger: &Ledger) -> anyhow::Result<()> {
        at_aws::ask(config, ledger, &mut self.certificates).await
    }
}

/// The certificates found.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownCertificate {
    /// One for each certificate found.
    pub certificates: Vec<KnownCertificate>,
    /// There are more rows than are shown.
    pub has_more: bool,
}

/// Everything known about one certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownCertificate {
    /// Null: the job contained no readable certificate.
    #[schema(value_type = Option<String>)]
    pub certificate_id: Option<CertificateId>,
    /// Its fields; null: the ledger does not keep the certificate.
    pub certificate: Option<CertificateFields>,
    /// Its rows in the ledger, one for each batch, target and operation.
    pub rows: Vec<RowLine>,
    /// AWS's answer per target; null: not asked.
    pub at_aws: Option<Vec<AtAws>>,
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
    pub fn pem(&self) -> Option<String> {
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
