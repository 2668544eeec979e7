//! The differences between the ledger and AWS for one certificate. Pure.

use crate::ledger::drift::ComparedRow;
use crate::ledger::drift::listing::Listed;
use muster_core::job::CertificateStatus;

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Drift<'a> {
    /// The ledger says that it is registered, but AWS does not have it.
    Missing {
        /// The row that says that it is registered.
        row: &'a ComparedRow,
        /// Whether the ledger keeps the certificate itself, in this row or another.
        is_kept: bool,
    },
    /// AWS has it, but the ledger has no row of it.
    Unknown,
    /// AWS has it, but no row of the ledger says that it was registered.
    FailedInLedger(Vec<&'a ComparedRow>),
    /// Its status at AWS is not the requested one, or not the one in the ledger.
    OtherStatus(&'a ComparedRow),
}

/// Returns the differences between what AWS reported of a certificate and the ledger's rows of it; with `batch`, only
/// those of that batch's rows.
///
/// A certificate with a row newer than AWS's report is never missing, regardless of its other rows.
pub(super) fn drifts<'a>(listed: &Listed, rows: &[&'a ComparedRow], batch: Option<&str>) -> Vec<Drift<'a>> {
    let is_in_scope = |row: &&&ComparedRow| batch.is_none_or(|batch| row.key.batch == batch);
    let (successes, others): (Vec<&ComparedRow>, Vec<_>) =
        rows.iter().copied().partition(|row| row.status.is_success());
    let Some(status) = &listed.status else {
        let is_back = successes.iter().any(|row| row.is_newer);
        let is_kept = successes.iter().any(|row| row.has_certificate);
        let missing = successes.iter().filter(is_in_scope).filter(|_| !is_back);
        return missing.map(|row| Drift::Missing { row, is_kept }).collect();
    };
    if successes.is_empty() {
        let in_scope: Vec<&ComparedRow> = others.iter().filter(is_in_scope).copied().collect();
        return match (in_scope.is_empty(), others.is_empty() && batch.is_none()) {
            (false, _) => vec![Drift::FailedInLedger(in_scope)],
            (true, true) => vec![Drift::Unknown],
            (true, false) => vec![],
        };
    }
    let status = status.parse().ok();
    let differing = successes.iter().filter(is_in_scope).filter(|row| !row.is_newer && differs(row, status));
    differing.map(|row| Drift::OtherStatus(row)).collect()
}

/// Returns whether the status at AWS differs from the one in the ledger or from the requested one. A status that this
/// version does not know always differs.
fn differs(row: &ComparedRow, status: Option<CertificateStatus>) -> bool {
    status.is_none_or(|status| row.known_status != Some(status) || row.wanted_status != status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::drift::tests::compared;
    use muster_core::certificate::CertificateId;
    use muster_core::outcome::Code;

    fn listed(status: Option<&str>) -> Listed {
        Listed { id: CertificateId([7; 32]), status: status.map(str::to_owned) }
    }

    fn found<'a>(status: Option<&str>, rows: &'a [ComparedRow], batch: Option<&str>) -> Vec<Drift<'a>> {
        drifts(&listed(status), &rows.iter().collect::<Vec<_>>(), batch)
    }

    fn missing(row: &ComparedRow) -> Drift<'_> {
        Drift::Missing { row, is_kept: true }
    }

    fn newer(batch: &str) -> ComparedRow {
        let mut row = compared(batch, Code::Ok);
        row.is_newer = true;
        row
    }

    fn without_status(mut row: ComparedRow) -> ComparedRow {
        row.known_status = None;
        row
    }

    #[test]
    fn agreement_is_not_drift() {
        let rows = [compared("a", Code::Ok), compared("b", Code::Known), compared("c", Code::Expired)];
        assert_eq!(found(Some("ACTIVE"), &rows, None), []);
        assert_eq!(found(None, &rows[2..], None), [], "neither has it");
        assert_eq!(found(None, &[], None), []);
    }

    #[test]
    fn every_success_that_aws_lacks_is_missing() {
        let rows = [compared("a", Code::Ok), compared("b", Code::Known), compared("c", Code::Expired)];
        assert_eq!(found(None, &rows, None), [missing(&rows[0]), missing(&rows[1])]);
        assert_eq!(found(None, &rows, Some("b")), [missing(&rows[1])]);
        assert_eq!(found(None, &rows, Some("c")), []);
    }

    #[test]
    fn a_certificate_is_kept_if_any_row_keeps_it() {
        let mut rows = [compared("a", Code::Ok), compared("b", Code::Known)];
        rows[0].has_certificate = false;
        assert_eq!(found(None, &rows, Some("a")), [missing(&rows[0])]);
        rows[1].has_certificate = false;
        assert_eq!(found(None, &rows, Some("a")), [Drift::Missing { row: &rows[0], is_kept: false }]);
    }

    #[test]
    fn a_certificate_with_a_newer_row_is_not_missing() {
        let newer = newer("b");
        let rows = [compared("a", Code::Ok), newer];
        assert_eq!(found(None, &rows, None), []);
        assert_eq!(found(None, &rows, Some("a")), [], "also if the newer row belongs to another batch");
    }

    #[test]
    fn a_certificate_without_a_success_is_unknown_or_failed() {
        assert_eq!(found(Some("ACTIVE"), &[], None), [Drift::Unknown]);
        assert_eq!(found(Some("ACTIVE"), &[], Some("a")), [], "its batch is unknown");
        let rows = [compared("a", Code::Timeout), compared("b", Code::IssuerInactive)];
        assert_eq!(found(Some("ACTIVE"), &rows, None), [Drift::FailedInLedger(vec![&rows[0], &rows[1]])]);
        assert_eq!(found(Some("ACTIVE"), &rows, Some("b")), [Drift::FailedInLedger(vec![&rows[1]])]);
        assert_eq!(found(Some("ACTIVE"), &rows, Some("c")), []);
    }

    #[test]
    fn an_unrecorded_or_unrequested_status_is_drift() {
        let rows = [compared("a", Code::Ok)];
        for status in ["INACTIVE", "PENDING_TRANSFER", "FUTURE_STATUS"] {
            assert_eq!(found(Some(status), &rows, None), [Drift::OtherStatus(&rows[0])], "{status}");
        }
        let unknown = [compared("a", Code::Exists)].map(without_status);
        assert_eq!(found(Some("ACTIVE"), &unknown, None), [Drift::OtherStatus(&unknown[0])]);
        let newer = [newer("a")];
        assert_eq!(found(Some("INACTIVE"), &newer, None), [], "the list may be older than the row");
    }
}
