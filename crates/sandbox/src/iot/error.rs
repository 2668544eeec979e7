//! Errors that several AWS IoT operations return.

use crate::answer::AwsError;
use muster_core::certificate::CertificateId;

/// The request violates a constraint of the API.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequestException", message)
}

/// AWS does not accept the certificate.
pub(super) fn not_valid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "CertificateValidationException", message)
}

/// The status of a certificate or CA forbids the operation.
pub(super) fn wrong_state(message: impl Into<String>) -> AwsError {
    AwsError::new(406, "CertificateStateException", message)
}

/// A resource named in the request does not exist.
pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new(404, "ResourceNotFoundException", message)
}

/// No certificate or CA has this id.
pub(super) fn no_certificate(id: CertificateId) -> AwsError {
    not_found(format!("The certificate {id} does not exist"))
}

/// A limit on the number of resources is reached.
pub(super) fn too_many(message: impl Into<String>) -> AwsError {
    AwsError::new(410, "LimitExceededException", message)
}
