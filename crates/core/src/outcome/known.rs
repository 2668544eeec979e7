//! Outcomes of jobs whose certificate is already registered, recorded without a call.

use crate::certificate::CertificateId;
use crate::job::CertificateStatus;
use crate::outcome::{Code, Outcome};

/// Returns the outcome of a copy, given the outcome of the first job (single-flight): a certificate that was registered
/// is now known, and no call was made for the copy.
pub fn copy_of(first: Outcome, id: CertificateId, wanted: CertificateStatus) -> Outcome {
    if first.status().is_success() {
        return known_outcome(id, first.known_status, wanted);
    }
    Outcome { attempts: vec![], n_attempts: 0, ..first }
}

/// Returns the outcome of a job whose certificate is already registered. `status` is its status in AWS, if Muster set
/// it.
pub fn known_outcome(id: CertificateId, status: Option<CertificateStatus>, wanted: CertificateStatus) -> Outcome {
    Outcome {
        code: Code::Known,
        detail: differing_status(status, wanted),
        subject: id.0,
        certificate_id: Some(id),
        known_status: status,
        attempts: vec![],
        n_attempts: 0,
        parking: None,
    }
}

/// Describes the difference if an existing certificate does not have the wanted status: registering never changes it.
pub fn differing_status(known: Option<CertificateStatus>, wanted: CertificateStatus) -> Option<String> {
    match known {
        Some(known) if known == wanted => None,
        Some(known) => Some(format!("its status is {known}, {wanted} was requested")),
        None => Some(format!("its status is unknown, {wanted} was requested")),
    }
}
