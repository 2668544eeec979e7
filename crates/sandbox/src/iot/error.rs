//! The errors of AWS IoT that more than one operation answers.

use crate::answer::AwsError;
use muster_core::certificate::CertificateId;

/// A constraint of the API is broken.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequestException", message)
}

/// A certificate is none that AWS takes.
pub(super) fn not_valid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "CertificateValidationException", message)
}

/// A certificate or CA has a status that forbids the operation.
pub(super) fn wrong_state(message: impl Into<String>) -> AwsError {
    AwsError::new(406, "CertificateStateException", message)
}

/// Something that the call names is not there.
pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new(404, "ResourceNotFoundException", message)
}

/// There is no certificate or CA with this id.
pub(super) fn no_certificate(id: CertificateId) -> AwsError {
    not_found(format!("The certificate {id} does not exist"))
}

/// There may be no more of something.
pub(super) fn too_many(message: impl Into<String>) -> AwsError {
    AwsError::new(410, "LimitExceededException", message)
}
