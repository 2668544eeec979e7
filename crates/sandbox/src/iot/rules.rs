//! What AWS IoT accepts: key, signature algorithm, validity, field length, certificate status.
//!
//! Written from AWS's documentation and independently of the precheck, so that each can be checked against the other.

use std::ops::RangeInclusive;

use time::OffsetDateTime;

use super::error::{invalid, not_valid, wrong_state};
use crate::answer::AwsError;
use muster_core::certificate::{Certificate, Key, SignatureAlgorithm};
use muster_core::job::CertificateStatus;

/// Allowed length of a PEM field, in characters.
pub(super) const PEM_CHARS: RangeInclusive<usize> = 1..=65_536;

/// The smallest accepted RSA key, in bits.
const RSA_MIN: usize = 2_048;

/// Parses the certificate in a PEM field and checks its key, algorithm and validity.
pub(super) fn read(field: &str, pem: &str, now: OffsetDateTime) -> Result<Certificate, AwsError> {
    check_length(field, pem, PEM_CHARS)?;
    let certificate = Certificate::from_pem(pem).map_err(|e| not_valid(format!("{field} could not be read: {e}")))?;
    check_key(&certificate)?;
    check_algorithm(&certificate)?;
    check_validity(&certificate, now)?;
    Ok(certificate)
}

/// Checks a field against the length that the API's model allows.
pub(super) fn check_length(field: &str, text: &str, wanted: RangeInclusive<usize>) -> Result<(), AwsError> {
    let chars = text.chars().count();
    if wanted.contains(&chars) {
        return Ok(());
    }
    let (from, to) = wanted.into_inner();
    Err(invalid(format!("Value at '{field}' has {chars} characters, but must have {from} to {to}")))
}

/// Checks that callers may set this status: only AWS itself sets the others.
pub(super) fn settable(status: CertificateStatus) -> Result<CertificateStatus, AwsError> {
    use CertificateStatus as Status;
    match status {
        Status::Active | Status::Inactive | Status::Revoked => Ok(status),
        Status::PendingTransfer | Status::RegisterInactive | Status::PendingActivation => {
            Err(wrong_state(format!("A certificate cannot be given the status {status}")))
        }
    }
}

fn check_key(certificate: &Certificate) -> Result<(), AwsError> {
    match certificate.key() {
        Key::Rsa { bits } if *bits >= RSA_MIN => Ok(()),
        Key::Ec { .. } => Ok(()),
        key => Err(not_valid(format!("The public key {key} is not supported"))),
    }
}

fn check_algorithm(certificate: &Certificate) -> Result<(), AwsError> {
    match certificate.signature_algorithm() {
        SignatureAlgorithm::Other(name) => Err(not_valid(format!("The signature algorithm {name} is not supported"))),
        _ => Ok(()),
    }
}

/// Checks only the end of the validity: what AWS does with a certificate that is not yet valid is not documented.
fn check_validity(certificate: &Certificate, now: OffsetDateTime) -> Result<(), AwsError> {
    if now <= certificate.not_after() {
        return Ok(());
    }
    Err(not_valid("The certificate has expired"))
}
