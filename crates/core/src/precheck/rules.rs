//! The rules for every certificate and every text, whatever the operation: length, private keys, key, algorithm,
//! validity.

use time::OffsetDateTime;

use super::{Field, NotYetValid, Policy, Rejection, Warning};
use crate::certificate::{Certificate, Key, SignatureAlgorithm, pem};

/// Maximum number of characters that AWS accepts in a PEM field, and that are examined here.
pub const PEM_CHARS_MAX: usize = 65_536;

/// Minimum size in bits of an RSA key that AWS accepts.
pub const RSA_BITS_MIN: usize = 2048;

/// Maximum number of texts in a request that are searched for encoded private keys: AWS accepts 50 tags.
const SEARCHED_MAX: usize = 128;

/// Refuses texts with private keys. Certificates are not searched: their contents are public.
pub(super) fn refuse_private_keys<'a>(
    fields: impl IntoIterator<Item = (Field, Option<&'a String>)>,
) -> Result<(), Rejection> {
    let holds_key = |n: usize, text: &str| {
        pem::holds_private_key(text) || n < SEARCHED_MAX && pem::hides_private_key_outside_certificates(text)
    };
    let mut numbered = fields.into_iter().enumerate();
    let found = numbered.find(|(n, (_, text))| text.is_some_and(|text| holds_key(*n, text)));
    found.map_or(Ok(()), |(_, (field, _))| Err(Rejection::PrivateKey { field }))
}

/// Refuses a PEM text that is too long.
pub(super) fn refuse_too_long(field: Field, text: &str) -> Result<(), Rejection> {
    // Checks bytes first: their count is known, and never below that of the characters.
    if text.len() <= PEM_CHARS_MAX {
        return Ok(());
    }
    match text.chars().count() {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// Refuses a certificate whose canonical PEM is too long. A single line that AWS would accept becomes longer when it is
/// broken into lines.
pub(super) fn refuse_canonical_too_long(field: Field, certificate: &Certificate) -> Result<(), Rejection> {
    match pem::encoded_chars(pem::CERTIFICATE, certificate.der().len()) {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// Checks what every certificate must fulfil: validity, key and signature algorithm.
pub(super) fn check_certificate(
    policy: Policy,
    field: Field,
    certificate: &Certificate,
    now: OffsetDateTime,
) -> Result<Option<Warning>, Rejection> {
    let warning = check_validity(policy, field, certificate, now)?;
    refuse_key(certificate.key())?;
    refuse_signature_algorithm(certificate.signature_algorithm())?;
    Ok(warning)
}

/// Refuses keys other than those AWS documents: RSA of at least 2,048 bits and the three curves.
fn refuse_key(key: &Key) -> Result<(), Rejection> {
    match key {
        Key::Rsa { bits } if *bits < RSA_BITS_MIN => Err(Rejection::KeyTooSmall { bits: *bits }),
        // Only the size of an explicit curve is known here, and AWS does not document whether it accepts one.
        Key::ExplicitEc { bits: 256 | 384 | 521 } | Key::Rsa { .. } | Key::Ec { .. } => Ok(()),
        Key::ExplicitEc { .. } => Err(Rejection::KeyUnsupported { found: key.to_string() }),
        Key::Other { oid } => Err(Rejection::KeyUnsupported { found: oid.clone() }),
    }
}

/// Refuses algorithms that are not in AWS's list. Every algorithm with its own variant is in it.
fn refuse_signature_algorithm(algorithm: &SignatureAlgorithm) -> Result<(), Rejection> {
    match algorithm {
        SignatureAlgorithm::Other(found) => Err(Rejection::SignatureAlgorithmUnsupported { found: found.clone() }),
        _ => Ok(()),
    }
}

/// Refuses a certificate that has expired, and treats one whose validity has not begun as `policy` says.
fn check_validity(
    policy: Policy,
    field: Field,
    certificate: &Certificate,
    now: OffsetDateTime,
) -> Result<Option<Warning>, Rejection> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if now > not_after {
        return Err(Rejection::Expired { not_after, now });
    }
    if now >= not_before {
        return Ok(None);
    }
    match policy.not_yet_valid {
        NotYetValid::Warn => Ok(Some(Warning::NotYetValid { field, not_before, now })),
        NotYetValid::Reject => Err(Rejection::NotYetValid { not_before, now }),
    }
}
