//! The object identifiers that Muster uses, as encoded in a certificate, and readable names for others.

use x509_parser::asn1_rs::{Oid, oid};

pub(super) const RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.1);
pub(super) const RSA_SHA256: &[u8] = &oid!(raw 1.2.840.113549.1.1.11);
pub(super) const RSA_SHA384: &[u8] = &oid!(raw 1.2.840.113549.1.1.12);
pub(super) const RSA_SHA512: &[u8] = &oid!(raw 1.2.840.113549.1.1.13);
pub(super) const RSA_PSS: &[u8] = &oid!(raw 1.2.840.113549.1.1.10);
pub(super) const MGF1: &[u8] = &oid!(raw 1.2.840.113549.1.1.8);

pub(super) const EC: &[u8] = &oid!(raw 1.2.840.10045.2.1);
pub(super) const PRIME_FIELD: &[u8] = &oid!(raw 1.2.840.10045.1.1);
pub(super) const P256: &[u8] = &oid!(raw 1.2.840.10045.3.1.7);
pub(super) const P384: &[u8] = &oid!(raw 1.3.132.0.34);
pub(super) const P521: &[u8] = &oid!(raw 1.3.132.0.35);
pub(super) const ECDSA_SHA256: &[u8] = &oid!(raw 1.2.840.10045.4.3.2);
pub(super) const ECDSA_SHA384: &[u8] = &oid!(raw 1.2.840.10045.4.3.3);
pub(super) const ECDSA_SHA512: &[u8] = &oid!(raw 1.2.840.10045.4.3.4);

pub(super) const DSA_SHA256: &[u8] = &oid!(raw 2.16.840.1.101.3.4.3.2);

pub(super) const SHA256: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.1);
pub(super) const SHA384: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.2);
pub(super) const SHA512: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.3);

pub(super) const COMMON_NAME: &[u8] = &oid!(raw 2.5.4.3);

pub(super) const BASIC_CONSTRAINTS: &[u8] = &oid!(raw 2.5.29.19);
pub(super) const KEY_USAGE: &[u8] = &oid!(raw 2.5.29.15);
pub(super) const EXTENDED_KEY_USAGE: &[u8] = &oid!(raw 2.5.29.37);
pub(super) const SUBJECT_KEY_ID: &[u8] = &oid!(raw 2.5.29.14);
pub(super) const AUTHORITY_KEY_ID: &[u8] = &oid!(raw 2.5.29.35);

/// Common names of what devices send and AWS does not accept.
const NAMED: [(&[u8], &str); 9] = [
    (&oid!(raw 1.2.840.113549.1.1.4), "md5WithRSAEncryption"),
    (&oid!(raw 1.2.840.113549.1.1.5), "sha1WithRSAEncryption"),
    (&oid!(raw 1.2.840.113549.1.1.14), "sha224WithRSAEncryption"),
    (&oid!(raw 1.2.840.10045.4.1), "ecdsa-with-SHA1"),
    (&oid!(raw 1.2.840.10045.4.3.1), "ecdsa-with-SHA224"),
    (&oid!(raw 1.2.840.10040.4.1), "DSA"),
    (&oid!(raw 1.3.101.112), "Ed25519"),
    (&oid!(raw 1.3.101.113), "Ed448"),
    (&oid!(raw 1.3.132.0.10), "secp256k1"),
];

/// Maximum size in bytes of an identifier that is printed. Formatting a number of many thousand digits takes quadratic
/// time.
const PRINTED_MAX: usize = 32;

/// Formats an identifier: `Ed25519 (1.3.101.112)`, or the number alone.
pub(super) fn printable(oid: &Oid<'_>) -> String {
    let bytes = oid.as_bytes();
    if bytes.len() > PRINTED_MAX {
        return format!("an object identifier of {} bytes", bytes.len());
    }
    match NAMED.iter().find(|(named, _)| *named == bytes) {
        Some((_, name)) => format!("{name} ({})", oid.to_id_string()),
        None => oid.to_id_string(),
    }
}
