//! What AWS IoT takes: key, signature algorithm, validity, length of a PEM field.
//!
//! Written from AWS's documentation and apart from the precheck, so that one can be held against the other.

use time::OffsetDateTime;

use super::{invalid, not_valid};
use crate::certificate::{Certificate, Key, SignatureAlgorithm};
use crate::sandbox::answer::AwsError;

/// Most characters of a PEM field.
const PEM_MAX: usize = 65_536;

/// The shortest RSA key, in bits.
const RSA_MIN: usize = 2_048;

/// Reads the certificate in a PEM field and checks its key, algorithm and validity.
pub(super) fn read(field: &str, pem: &str, now: OffsetDateTime) -> Result<Certificate, AwsError> {
    check_length(field, pem)?;
    let certificate = Certificate::from_pem(pem).map_err(|e| not_valid(format!("{field} could not be read: {e}")))?;
    check_key(&certificate)?;
    check_algorithm(&certificate)?;
    check_validity(&certificate, now)?;
    Ok(certificate)
}

/// Checks the length that the API's model gives a PEM field.
pub(super) fn check_length(field: &str, pem: &str) -> Result<(), AwsError> {
    let chars = pem.chars().count();
    if (1..=PEM_MAX).contains(&chars) {
        return Ok(());
    }
    Err(invalid(format!("Value at '{field}' has {chars} characters, wanted are 1 to {PEM_MAX}")))
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

/// Only the end counts: what AWS does with a certificate that is not yet valid is not documented.
fn check_validity(certificate: &Certificate, now: OffsetDateTime) -> Result<(), AwsError> {
    if now <= certificate.not_after() {
        return Ok(());
    }
    Err(not_valid("The certificate has expired"))
}
