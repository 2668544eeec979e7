//! Failures: grouped by code over all batches, and one by one within a batch.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::failures::{FailedRow, FailurePosition, FailureTotal};
use crate::ledger::{Ledger, LedgerError};
use crate::operator::status::counters;
use muster_core::certificate::CertificateId;
use muster_core::job::{Name, Operation};
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;

/// The failures of all batches with one code.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeFailures {
    /// The code.
    pub code: &'static str,
    /// The status that belongs to it.
    pub status: String,
    /// Number of certificates.
    pub n: u64,
    /// Number of batches that they belong to.
    pub n_batches: u64,
    /// When the last of them was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub last_at: OffsetDateTime,
    /// The batch of the last one.
    pub batch: String,
    /// Whether the job may succeed if it is resent unchanged.
    pub may_succeed: bool,
}

/// A page of the failed or parked certificates of a batch with one code.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailurePage {
    /// The certificates.
    pub failures: Vec<FailedCertificate>,
    /// The `after` value of the next page. Null: there is none.
    pub next: Option<String>,
}

/// One failed or parked certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailedCertificate {
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    #[schema(value_type = String)]
    pub subject: CertificateId,
    /// Whether `subject` is a certificate id.
    pub is_certificate: bool,
    /// Name of the target.
    pub target: String,
    /// The AWS call.
    #[schema(value_type = String)]
    pub operation: Operation,
    /// Factory line that sent the job.
    pub source: Option<String>,
    /// The producer's name for the device.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The status.
    pub status: String,
    /// Details beyond the code.
    pub detail: Option<String>,
    /// Number of AWS calls made for it.
    pub n_attempts: u32,
    /// When the outcome was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
    /// When it was resent, if it has no outcome since.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resent_at: Option<OffsetDateTime>,
}

/// Which failures of a batch to list.
#[derive(Clone, Debug)]
pub struct FailureQuery {
    /// The batch.
    pub batch: Name,
    /// The code.
    pub code: Code,
    /// The `next` value of the previous page.
    pub after: Option<FailureCursor>,
    /// Maximum number of certificates.
    pub limit: u32,
}

/// A position in the list: subject, target and operation, separated by dots.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailureCursor(FailurePosition);

impl std::str::FromStr for FailureCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the `next` value of a page";
        let (subject, rest) = text.split_once('.').ok_or(EXPECTED)?;
        let (target, operation) = rest.rsplit_once('.').ok_or(EXPECTED)?;
        let subject = subject.parse().map_err(|_| EXPECTED)?;
        let operation = operation.parse().map_err(|_| EXPECTED)?;
        Ok(Self(FailurePosition { subject, target: target.to_owned(), operation }))
    }
}

impl std::fmt::Display for FailureCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FailurePosition { subject, target, operation } = &self.0;
        write!(f, "{subject}.{target}.{operation}")
    }
}

/// Returns the failures of all batches by code, the most frequent first.
pub async fn failures_by_code(
    ledger: &Ledger,
    since: Option<OffsetDateTime>,
) -> Result<Vec<CodeFailures>, LedgerError> {
    Ok(ledger.failure_totals(since).await?.into_iter().map(CodeFailures::of).collect())
}

/// Lists one page of the failed or parked certificates of a batch with one code.
///
/// # Errors
/// The ledger does not know the batch, or a ledger error.
pub async fn failures_of_batch(ledger: &Ledger, query: &FailureQuery) -> anyhow::Result<FailurePage> {
    counters(ledger, &query.batch).await?;
    let after = query.after.as_ref().map(|cursor| &cursor.0);
    // One more row shows whether there is a next page.
    let mut rows = ledger.failed_rows(&query.batch, query.code, after, query.limit + 1).await?;
    let has_more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let next = rows.last().filter(|_| has_more).map(|row| FailureCursor(row.position()).to_string());
    Ok(FailurePage { failures: rows.into_iter().map(FailedCertificate::of).collect(), next })
}

impl CodeFailures {
    fn of(total: FailureTotal) -> Self {
        Self {
            code: total.code.as_str(),
            status: total.status.to_string(),
            n: total.n,
            n_batches: total.n_batches,
            last_at: total.last_at.truncate_to_second(),
            batch: total.batch,
            may_succeed: ReplayFilter::usual_codes().contains(&total.code),
        }
    }
}

impl FailedCertificate {
    fn of(row: FailedRow) -> Self {
        Self {
            subject: row.subject,
            is_certificate: row.is_certificate,
            target: row.target,
            operation: row.operation,
            source: row.source,
            reference: row.reference,
            status: row.status.to_string(),
            detail: row.detail,
            n_attempts: row.n_attempts,
            recorded_at: row.recorded_at.truncate_to_second(),
            resent_at: row.resent_at.map(OffsetDateTime::truncate_to_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_printed() {
        let position = FailurePosition {
            subject: CertificateId([0xab; 32]),
            target: "eu.plant-1".into(),
            operation: Operation::RegisterCertificate,
        };
        let text = FailureCursor(position.clone()).to_string();
        assert_eq!(text.parse(), Ok(FailureCursor(position)));
        for wrong in ["", "ab", "ab.default", "zz.default.RegisterCertificate", "'; drop table x"] {
            assert!(wrong.parse::<FailureCursor>().is_err(), "{wrong}");
        }
    }
}
