//! Recognises other formats by their first elements, so that an error can name what was sent instead of a certificate.

use std::fmt;

use x509_parser::asn1_rs::oid;

use super::der::{Element, element, elements, tag};

/// A format that people send instead of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputKind {
    /// A certificate signing request (PKCS #10).
    Request,
    /// A container of certificates (PKCS #7, also called CMS).
    Pkcs7,
    /// A container of keys and certificates (PKCS #12).
    Pkcs12,
    /// A private key in any format.
    PrivateKey,
    /// A public key.
    PublicKey,
    /// A certificate revocation list.
    RevocationList,
    /// PEM text that was base64-encoded again.
    Pem,
}

/// `1.2.840.113549.1.7`: the contents of PKCS #7.
const PKCS7: &[u8] = &oid!(raw 1.2.840.113549.1.7);

impl InputKind {
    /// Recognises bytes that are not a certificate.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Some(Self::Pem);
        }
        // A truncated container is recognised too: its first elements are present.
        let content = match element(bytes) {
            Ok((outer, _)) if outer.tag == tag::SEQUENCE => outer.content,
            Err(_) if bytes.first() == Some(&tag::SEQUENCE) => after_header(bytes),
            _ => return None,
        };
        let mut parts = elements(content);
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let first = first?;
        match (first.tag, second.map(|part| part.tag), third.map(|part| part.tag)) {
            (tag::OID, ..) if is_pkcs7(first) => Some(Self::Pkcs7),
            (tag::INTEGER, Some(tag::SEQUENCE), _) if elements(second?.content).next().is_some_and(is_pkcs7) => {
                Some(Self::Pkcs12)
            }
            (tag::INTEGER, Some(tag::SEQUENCE), Some(tag::OCTET_STRING))
            | (tag::INTEGER, Some(tag::OCTET_STRING), _)
            | (tag::SEQUENCE, Some(tag::OCTET_STRING), None)
            | (tag::INTEGER, Some(tag::INTEGER), Some(tag::INTEGER)) => Some(Self::PrivateKey),
            (tag::INTEGER, Some(tag::INTEGER), None) | (tag::SEQUENCE, Some(tag::BIT_STRING), None) => {
                Some(Self::PublicKey)
            }
            (tag::SEQUENCE, Some(tag::SEQUENCE), Some(tag::BIT_STRING)) => of_signed(first),
            _ => None,
        }
    }
}

fn after_header(bytes: &[u8]) -> &[u8] {
    let n_digits = match bytes.get(1) {
        Some(&first @ 0x81..=0x84) => usize::from(first & 0x7f),
        _ => 0,
    };
    bytes.get(2 + n_digits..).unwrap_or_default()
}

fn is_pkcs7(part: Element<'_>) -> bool {
    part.tag == tag::OID && part.content.starts_with(PKCS7)
}

/// Tells a signing request from a revocation list by its signed part: a request starts with version, subject and key, a
/// list with algorithm, issuer and a date.
fn of_signed(signed: Element<'_>) -> Option<InputKind> {
    let parts: Vec<Element<'_>> = elements(signed.content).take(5).collect();
    let tags: Vec<u8> = parts.iter().map(|part| part.tag).collect();
    match tags.as_slice() {
        [tag::INTEGER, tag::SEQUENCE, tag::SEQUENCE, rest @ ..]
            if rest.first().is_none_or(|&t| t == tag::CONTEXT_0) =>
        {
            Some(InputKind::Request)
        }
        [tag::INTEGER, tag::SEQUENCE, tag::SEQUENCE, tag::UTC_TIME | tag::GENERALIZED_TIME, ..]
        | [tag::SEQUENCE, tag::SEQUENCE, tag::UTC_TIME | tag::GENERALIZED_TIME, ..] => Some(InputKind::RevocationList),
        _ => None,
    }
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "a certificate signing request",
            Self::Pkcs7 => "a PKCS#7 container (also called CMS or .p7b)",
            Self::Pkcs12 => "a PKCS#12 container (also called .pfx or .p12)",
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
            Self::RevocationList => "a certificate revocation list",
            Self::Pem => "PEM text that was base64-encoded again",
        })
    }
}
