//! The findings of a comparison: counts and examples.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::drift::Drift;
use crate::ledger::drift::ComparedRow;
use crate::ledger::drift::listing::Listed;
use muster_core::certificate::CertificateId;
use muster_core::job::CertificateStatus;

/// Most examples of each kind of difference.
const EXAMPLES_MAX: usize = 20;

/// The findings of a comparison. Counts rows: a certificate in two batches counts in each, as everywhere.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// When the run began.
    #[serde(with = "time::serde::rfc3339")]
    pub began_at: OffsetDateTime,
    /// Certificates that AWS listed. `None`: AWS was not listed.
    pub n_listed: Option<u64>,
    /// Certificates that AWS was asked for individually, by id.
    pub n_described: u64,
    /// Certificates compared with the ledger.
    pub n_compared: u64,
    /// Certificates left out of the comparison of a CA, because the ledger does not keep them and their issuer is
    /// unknown.
    pub n_of_unknown_ca: u64,
    /// Rows that say that a certificate is registered, although AWS does not have it.
    pub missing_at_aws: Missing,
    /// Certificates that AWS has but the ledger has no row of.
    pub unknown_to_the_ledger: Unknown,
    /// Rows of certificates that AWS has, although no row says that they are registered.
    #[serde(rename = "ended_otherwise")]
    pub failed_in_ledger: FailedInLedger,
    /// Rows of certificates whose status at AWS is not the requested one, or not the one in the ledger.
    pub other_status: OtherStatus,
}

/// Rows of certificates that AWS does not have.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Missing {
    /// How many rows.
    pub n: u64,
    /// How many of them cannot be resent, because the ledger does not keep the certificate.
    pub n_without_certificate: u64,
    /// The first of them.
    pub examples: Vec<FindingExample>,
}

/// Certificates that the ledger has no row of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unknown {
    /// How many certificates.
    pub n: u64,
    /// The first of them.
    pub examples: Vec<FindingExample>,
}

/// Rows of certificates that AWS has, although no row says that they are registered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FailedInLedger {
    /// How many rows.
    pub n: u64,
    /// How many of their jobs can be resent and are not already waiting to be.
    pub n_sendable: u64,
    /// How many rows have each code.
    pub codes: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub examples: Vec<FindingExample>,
}

/// Rows of certificates with another status at AWS.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OtherStatus {
    /// How many rows.
    pub n: u64,
    /// How many of them do not have the requested status.
    pub n_not_wanted: u64,
    /// How many of them have a status at AWS that the ledger did not know.
    pub n_unknown: u64,
    /// The first of them.
    pub examples: Vec<FindingExample>,
}

/// One certificate, with one row of the ledger if there is one.
#[derive(Clone, Debug, Serialize)]
pub struct FindingExample {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// Its status at AWS. Null: AWS does not have it.
    pub status_at_aws: Option<String>,
    /// The row, if there is one.
    #[serde(flatten)]
    pub row: Option<ExampleRow>,
}

/// The fields of a row.
#[derive(Clone, Debug, Serialize)]
pub struct ExampleRow {
    /// Batch.
    pub batch: String,
    /// Target.
    pub target: String,
    /// The producer's own name for the device.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The code of the outcome.
    pub code: &'static str,
    /// The requested status.
    pub wanted_status: CertificateStatus,
    /// The status at AWS that the ledger knows.
    pub known_status: Option<CertificateStatus>,
}

impl Findings {
    /// Creates empty findings.
    pub(super) fn none(began_at: OffsetDateTime) -> Self {
        Self {
            began_at,
            n_listed: None,
            n_described: 0,
            n_compared: 0,
            n_of_unknown_ca: 0,
            missing_at_aws: Missing::default(),
            unknown_to_the_ledger: Unknown::default(),
            failed_in_ledger: FailedInLedger::default(),
            other_status: OtherStatus::default(),
        }
    }

    /// Returns whether the ledger and AWS differ.
    pub fn has_drift(&self) -> bool {
        self.missing_at_aws.n + self.unknown_to_the_ledger.n + self.failed_in_ledger.n + self.other_status.n > 0
    }

    /// Counts a difference.
    pub(super) fn add(&mut self, listed: &Listed, drift: &Drift<'_>) {
        match drift {
            Drift::Missing { row, is_kept } => {
                self.missing_at_aws.n += 1;
                self.missing_at_aws.n_without_certificate += u64::from(!is_kept);
                push(&mut self.missing_at_aws.examples, listed, Some(row));
            }
            Drift::Unknown => {
                self.unknown_to_the_ledger.n += 1;
                push(&mut self.unknown_to_the_ledger.examples, listed, None);
            }
            Drift::FailedInLedger(rows) => rows.iter().for_each(|row| self.add_failure(listed, row)),
            Drift::OtherStatus(row) => {
                let status: Option<CertificateStatus> = listed.status.as_deref().and_then(|status| status.parse().ok());
                // A status that this version does not know cannot be stored.
                let is_new = status.is_some() && status != row.known_status;
                self.other_status.n += 1;
                self.other_status.n_not_wanted += u64::from(status != Some(row.wanted_status));
                self.other_status.n_unknown += u64::from(is_new);
                push(&mut self.other_status.examples, listed, Some(row));
            }
        }
    }

    fn add_failure(&mut self, listed: &Listed, row: &ComparedRow) {
        self.failed_in_ledger.n += 1;
        self.failed_in_ledger.n_sendable += u64::from(row.is_sendable);
        *self.failed_in_ledger.codes.entry(row.code.as_str()).or_default() += 1;
        push(&mut self.failed_in_ledger.examples, listed, Some(row));
    }
}

fn push(examples: &mut Vec<FindingExample>, listed: &Listed, row: Option<&ComparedRow>) {
    if examples.len() < EXAMPLES_MAX {
        let row = row.map(|row| ExampleRow {
            batch: row.key.batch.clone(),
            target: row.key.target.clone(),
            reference: row.reference.clone(),
            code: row.code.as_str(),
            wanted_status: row.wanted_status,
            known_status: row.known_status,
        });
        examples.push(FindingExample { certificate_id: listed.id, status_at_aws: listed.status.clone(), row });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::drift::tests::compared;
    use muster_core::outcome::Code;

    #[test]
    fn a_status_counts_as_unknown_only_if_it_can_be_stored() {
        let row = compared("a", Code::Ok);
        for (status, n_unknown, n_not_wanted) in [("REVOKED", 1, 1), ("FUTURE_STATUS", 0, 1)] {
            let mut findings = Findings::none(OffsetDateTime::UNIX_EPOCH);
            let listed = Listed { id: CertificateId([7; 32]), status: Some(status.to_owned()) };
            findings.add(&listed, &Drift::OtherStatus(&row));
            let found = &findings.other_status;
            assert_eq!((found.n, found.n_unknown, found.n_not_wanted), (1, n_unknown, n_not_wanted), "{status}");
            assert!(findings.has_drift());
        }
    }

    #[test]
    fn examples_are_limited_but_counts_are_not() {
        let row = compared("a", Code::Timeout);
        let mut findings = Findings::none(OffsetDateTime::UNIX_EPOCH);
        let listed = Listed { id: CertificateId([7; 32]), status: Some("ACTIVE".to_owned()) };
        (0..50).for_each(|_| findings.add(&listed, &Drift::FailedInLedger(vec![&row, &row])));
        let found = &findings.failed_in_ledger;
        assert_eq!((found.n, found.n_sendable, found.examples.len()), (100, 100, EXAMPLES_MAX));
        assert_eq!(found.codes, [("timeout", 100)].into());
    }
}
