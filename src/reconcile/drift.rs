//! How the ledger and AWS differ in one certificate. Pure.

use crate::job::CertificateStatus;
use crate::store::drift::ComparedRow;
use crate::store::drift::listing::Listed;

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Drift<'a> {
    /// The ledger says that it is in, and AWS does not have it.
    Missing(&'a ComparedRow),
    /// AWS has it, and the ledger has no row of it.
    Unknown,
    /// AWS has it, and the ledger has rows of it, none of which is good.
    EndedOtherwise(Vec<&'a ComparedRow>),
    /// It stands at AWS with another status than was asked for, or than the ledger knows.
    OtherStatus(&'a ComparedRow),
}

/// The differences in what AWS said of a certificate and in the rows that the ledger has of it, where `batch` is named
/// only those of its rows.
///
/// A certificate with a row that is newer than AWS's word is not missing, whatever its other rows say.
pub(super) fn drifts<'a>(listed: &Listed, rows: &[&'a ComparedRow], batch: Option<&str>) -> Vec<Drift<'a>> {
    let is_meant = |row: &&&ComparedRow| batch.is_none_or(|batch| row.key.batch == batch);
    let (good, bad): (Vec<&ComparedRow>, Vec<_>) = rows.iter().copied().partition(|row| row.status.is_good());
    let Some(status) = &listed.status else {
        let is_back = good.iter().any(|row| row.is_newer);
        return good.iter().filter(is_meant).filter(|_| !is_back).map(|row| Drift::Missing(row)).collect();
    };
    if good.is_empty() {
        let meant: Vec<&ComparedRow> = bad.iter().filter(is_meant).copied().collect();
        return match (meant.is_empty(), bad.is_empty() && batch.is_none()) {
            (false, _) => vec![Drift::EndedOtherwise(meant)],
            (true, true) => vec![Drift::Unknown],
            (true, false) => vec![],
        };
    }
    let status = status.parse().ok();
    let good = good.iter().filter(is_meant).filter(|row| !row.is_newer && differs(row, status));
    good.map(|row| Drift::OtherStatus(row)).collect()
}

/// Says whether AWS's status is news, or not what was asked for. A word that this version does not know is always that.
fn differs(row: &ComparedRow, status: Option<CertificateStatus>) -> bool {
    status.is_none_or(|status| row.known_status != Some(status) || row.wanted_status != status)
}
