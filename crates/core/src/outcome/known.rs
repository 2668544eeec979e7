//! The ends of jobs whose certificate is in already, without a call.

use crate::certificate::CertificateId;
use crate::job::CertificateStatus;
use crate::outcome::{Code, Outcome};

/// The end of a copy whose first ended so: a certificate that went in is now known, and no call was spent on the copy.
pub fn copy_of(first: Outcome, id: CertificateId, wanted: CertificateStatus) -> Outcome {
    if first.status().is_success() {
        return known_outcome(id, first.known_status, wanted);
    }
    Outcome { attempts: vec![], n_attempts: 0, ..first }
}

/// The end of a job whose certificate is in, with this status where it was we who set it.
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

/// Says that an existing certificate keeps the status it has: registering never changes it.
pub fn differing_status(known: Option<CertificateStatus>, wanted: CertificateStatus) -> Option<String> {
    match known {
        Some(known) if known == wanted => None,
        Some(known) => Some(format!("stands as {known}, {wanted} was wanted")),
        None => Some(format!("its status is unknown, {wanted} was wanted")),
    }
}
