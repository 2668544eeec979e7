//! Splits a certificate into its parts (RFC 5280, 4.1) and reports in plain words which part is damaged.
//!
//! Strict about the parts that are used, lenient about the rest: names may hold anything, because they are only
//! compared and printed. x509-parser reads the contents of algorithms, keys and extensions.

use std::fmt;

use x509_parser::asn1_rs::FromDer;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::CertificateError;
use super::der::{DerError, Element, element, elements, tag};
use super::moment::{self, Moment};

/// A part of a certificate. Displays as its common name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificatePart {
    /// The whole signed part.
    Signed,
    /// The X.509 version.
    Version,
    /// The serial number.
    Serial,
    /// The algorithm of the signature.
    SignatureAlgorithm,
    /// The issuer's name.
    Issuer,
    /// The validity with its two dates.
    Validity,
    /// The subject's name.
    Subject,
    /// The subject's key.
    PublicKey,
    /// The extensions.
    Extensions,
    /// The signature.
    Signature,
}

/// What is wrong with a part. Displays as the end of the sentence "its serial number ...".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartFault {
    /// The part is missing.
    Missing,
    /// The part is longer than the part that contains it.
    TooLong,
    /// The part has the wrong ASN.1 type.
    WrongType {
        /// The tag that was found.
        found: u8,
    },
    /// The part has the right type but cannot be read.
    Unreadable,
}

/// The parts of a certificate, which borrow its bytes.
pub(super) struct ParsedParts<'a> {
    pub(super) der: &'a [u8],
    pub(super) signed: &'a [u8],
    /// The version, counted from 1.
    pub(super) version: u32,
    pub(super) serial: &'a [u8],
    pub(super) inner_algorithm: Element<'a>,
    pub(super) outer_algorithm: Element<'a>,
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
    pub(super) subject: &'a [u8],
    pub(super) key: SubjectPublicKeyInfo<'a>,
    /// The content of the sequence of extensions.
    pub(super) extensions: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// Reads the certificate at the start of `bytes`, and returns what follows it.
pub(super) fn parse(bytes: &[u8]) -> Result<(ParsedParts<'_>, &[u8]), CertificateError> {
    let (certificate, after) = match element(bytes) {
        Ok((certificate, after)) if certificate.tag == tag::SEQUENCE => (certificate, after),
        Err(DerError::CutOff { expected, found }) if bytes.first() == Some(&tag::SEQUENCE) => {
            return Err(CertificateError::CutOff { expected, found });
        }
        _ => return Err(CertificateError::NotDer),
    };
    let mut reader = DerReader(certificate.content);
    let signed = reader.sequence(CertificatePart::Signed)?;
    let outer_algorithm = reader.sequence(CertificatePart::SignatureAlgorithm)?;
    let signature = signature(reader.of_type(CertificatePart::Signature, tag::BIT_STRING)?)?;
    let mut reader = DerReader(signed.content);
    let version = version(&mut reader)?;
    let serial = reader.of_type(CertificatePart::Serial, tag::INTEGER)?;
    if serial.content.is_empty() {
        return Err(CertificatePart::Serial.is(PartFault::Unreadable));
    }
    let inner_algorithm = reader.sequence(CertificatePart::SignatureAlgorithm)?;
    let issuer = reader.sequence(CertificatePart::Issuer)?.raw;
    let (not_before, not_after) = validity(reader.sequence(CertificatePart::Validity)?)?;
    let subject = reader.sequence(CertificatePart::Subject)?.raw;
    let key = key(reader.sequence(CertificatePart::PublicKey)?)?;
    let extensions = extensions(&mut reader)?;
    let parts = ParsedParts {
        der: certificate.raw,
        signed: signed.raw,
        version,
        serial: serial.content,
        inner_algorithm,
        outer_algorithm,
        issuer,
        not_before,
        not_after,
        subject,
        key,
        extensions,
        signature,
    };
    Ok((parts, after))
}

/// Reads the elements of a sequence in order.
struct DerReader<'a>(&'a [u8]);

impl<'a> DerReader<'a> {
    fn next(&mut self, part: CertificatePart) -> Result<Element<'a>, CertificateError> {
        let (element, rest) = element(self.0).map_err(|error| match error {
            DerError::Missing => part.is(PartFault::Missing),
            DerError::CutOff { .. } => part.is(PartFault::TooLong),
            DerError::UnusableLength => part.is(PartFault::Unreadable),
        })?;
        self.0 = rest;
        Ok(element)
    }

    fn of_type(&mut self, part: CertificatePart, tag: u8) -> Result<Element<'a>, CertificateError> {
        let element = self.next(part)?;
        if element.tag == tag { Ok(element) } else { Err(part.is(PartFault::WrongType { found: element.tag })) }
    }

    fn sequence(&mut self, part: CertificatePart) -> Result<Element<'a>, CertificateError> {
        self.of_type(part, tag::SEQUENCE)
    }

    /// Skips an optional element with one of these tags.
    fn skip_any_of(&mut self, part: CertificatePart, tags: [u8; 2]) -> Result<(), CertificateError> {
        if self.0.first().is_some_and(|tag| tags.contains(tag)) { self.next(part).map(drop) } else { Ok(()) }
    }
}

/// Reads the version. Version 1 is the default, which DER does not encode.
fn version(reader: &mut DerReader<'_>) -> Result<u32, CertificateError> {
    if reader.0.first() != Some(&tag::CONTEXT_0) {
        return Ok(1);
    }
    let outer = reader.next(CertificatePart::Version)?;
    let number = DerReader(outer.content).of_type(CertificatePart::Version, tag::INTEGER)?.content;
    match number {
        [_, ..] if number.len() <= 4 => {
            Ok(number.iter().fold(0_u32, |value, &byte| value << 8 | u32::from(byte)).saturating_add(1))
        }
        _ => Err(CertificatePart::Version.is(PartFault::Unreadable)),
    }
}

fn validity(sequence: Element<'_>) -> Result<(Moment, Moment), CertificateError> {
    let mut reader = DerReader(sequence.content);
    let mut date = || {
        let element = reader.next(CertificatePart::Validity)?;
        moment::read(element).ok_or_else(|| CertificateError::Date { found: printable(element.content) })
    };
    Ok((date()?, date()?))
}

/// Formats a date as found, truncated and safe to print.
fn printable(content: &[u8]) -> String {
    const PRINTED_MAX: usize = 24;
    content.iter().take(PRINTED_MAX).map(|&byte| if byte.is_ascii_graphic() { byte as char } else { '?' }).collect()
}

fn key(element: Element<'_>) -> Result<SubjectPublicKeyInfo<'_>, CertificateError> {
    let unreadable = |_| CertificatePart::PublicKey.is(PartFault::Unreadable);
    SubjectPublicKeyInfo::from_der(element.raw).map(|(_, key)| key).map_err(unreadable)
}

/// Skips the unique ids of version 2, which are not used, and returns the extensions of version 3.
fn extensions<'a>(reader: &mut DerReader<'a>) -> Result<&'a [u8], CertificateError> {
    reader.skip_any_of(CertificatePart::Extensions, tag::CONTEXT_1)?;
    reader.skip_any_of(CertificatePart::Extensions, tag::CONTEXT_2)?;
    if reader.0.is_empty() {
        return Ok(&[]);
    }
    let outer = reader.of_type(CertificatePart::Extensions, tag::CONTEXT_3)?;
    let sequence = DerReader(outer.content).sequence(CertificatePart::Extensions)?.content;
    let n_read: usize = elements(sequence).map(|extension| extension.raw.len()).sum();
    if n_read == sequence.len() { Ok(sequence) } else { Err(CertificatePart::Extensions.is(PartFault::Unreadable)) }
}

/// Returns the signature's bytes. The bit string must not have unused bits.
fn signature(bits: Element<'_>) -> Result<&[u8], CertificateError> {
    match bits.content {
        [0, signature @ ..] => Ok(signature),
        _ => Err(CertificatePart::Signature.is(PartFault::Unreadable)),
    }
}

/// Reads an algorithm with its parameters.
pub(super) fn algorithm(element: Element<'_>) -> Result<AlgorithmIdentifier<'_>, CertificateError> {
    let unreadable = |_| CertificatePart::SignatureAlgorithm.is(PartFault::Unreadable);
    AlgorithmIdentifier::from_der(element.raw).map(|(_, algorithm)| algorithm).map_err(unreadable)
}

/// Returns whether two algorithms are the same, except for parameters that are absent in one and NULL in the other.
pub(super) fn is_same_but_for_null(one: Element<'_>, other: Element<'_>) -> bool {
    const NULL: [u8; 2] = [tag::NULL, 0];
    let without_null = |algorithm: &'_ Element<'_>| {
        let content = algorithm.content;
        content.strip_suffix(&NULL).filter(|rest| is_one_element(rest)).unwrap_or(content).to_vec()
    };
    without_null(&one) == without_null(&other)
}

fn is_one_element(bytes: &[u8]) -> bool {
    element(bytes).is_ok_and(|(_, rest)| rest.is_empty())
}

impl CertificatePart {
    fn is(self, fault: PartFault) -> CertificateError {
        CertificateError::Malformed { part: self, fault }
    }
}

impl fmt::Display for CertificatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "signed part",
            Self::Version => "version",
            Self::Serial => "serial number",
            Self::SignatureAlgorithm => "signature algorithm",
            Self::Issuer => "issuer",
            Self::Validity => "validity",
            Self::Subject => "subject",
            Self::PublicKey => "public key",
            Self::Extensions => "list of extensions",
            Self::Signature => "signature",
        })
    }
}

impl fmt::Display for PartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::TooLong => f.write_str("is longer than the part that contains it"),
            Self::WrongType { found } => write!(f, "has the wrong type (ASN.1 tag 0x{found:02x})"),
            Self::Unreadable => f.write_str("is damaged"),
        }
    }
}
