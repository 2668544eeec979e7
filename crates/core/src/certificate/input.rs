//! Everything in a text that a person would call a certificate: the one reader for files and for messages.
//!
//! Invariant: whatever looks like a certificate is an [`Input`], read or with the reason why it cannot be read. What can
//! be identified with certainty is read, because DER itself says where it ends; what is odd about it is reported as an
//! [`Oddity`]. Private keys are not inputs: callers look for them first.

use super::pem::{self, Block, BlockKind, Damage, PemError};
use super::{Certificate, CertificateError, InputKind};

/// Something that looks like a certificate.
#[derive(Clone, Debug)]
pub struct Input {
    /// What could be read.
    pub read: Result<Certificate, Unreadable>,
    /// What is odd about the text around a certificate that was read.
    pub oddity: Option<Oddity>,
}

/// Why an input could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// What is wrong.
    pub cause: CertificateError,
    /// The certificate at its start, if only what follows it cannot be read.
    pub certificate: Option<Box<Certificate>>,
}

/// What is odd about the text of a certificate that can be read with certainty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Oddity {
    /// Its markers are damaged or lost.
    Markers(Damage),
    /// The label is not one of a certificate.
    Label(String),
    /// Padding follows it: NULs, FFs or line ends.
    Padding {
        /// How many bytes.
        bytes: usize,
    },
    /// OpenSSL's trust settings follow it.
    TrustSettings {
        /// How many bytes.
        bytes: usize,
    },
}

/// Finds the inputs of a text without NULs, in order.
pub fn inputs(text: &str) -> impl Iterator<Item = Input> {
    pem::blocks(text).filter(|block| block.kind != BlockKind::PrivateKey).flat_map(|block| of_block(&block))
}

/// Says whether a byte may be padding, as dumps of secure elements and flash, and transfers in text mode, leave behind.
pub fn is_padding(byte: u8) -> bool {
    matches!(byte, 0x00 | 0xff | b'\r' | b'\n' | b' ' | b'\t' | 0x1a)
}

impl Input {
    /// Says whether it is a private key that stands in a certificate's place.
    pub fn is_private_key(&self) -> bool {
        matches!(&self.read, Err(Unreadable { cause: CertificateError::Is(InputKind::PrivateKey), .. }))
    }

    /// The certificate, also if only what follows it cannot be read.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.read {
            Ok(certificate) => Some(certificate),
            Err(unreadable) => unreadable.certificate.as_deref(),
        }
    }
}

/// The inputs of one block: as many as it has certificates in a row, or one that cannot be read.
fn of_block(block: &Block<'_>) -> Vec<Input> {
    let input = |read, oddity| Input { read, oddity };
    let der = match block.decode() {
        Ok(der) => der,
        Err(damage) => return vec![input(Err(unreadable(block, damage.into())), None)],
    };
    let mut inputs = Vec::new();
    let mut rest = der.as_slice();
    loop {
        let (certificate, n_rest) = match Certificate::from_der_start(rest) {
            Ok(read) => read,
            Err(error) => {
                inputs.push(input(Err(unreadable(block, error)), None));
                return inputs;
            }
        };
        rest = &rest[rest.len() - n_rest..];
        if rest.first() == der.first() && block.kind != BlockKind::TrustedCertificate {
            inputs.push(input(Ok(certificate), oddity(block)));
            continue;
        }
        inputs.push(match behind(block, rest) {
            Ok(oddity) => input(Ok(certificate), oddity),
            Err(cause) => input(Err(Unreadable { cause, certificate: Some(Box::new(certificate)) }), None),
        });
        return inputs;
    }
}

/// What follows the last certificate of a block.
fn behind(block: &Block<'_>, rest: &[u8]) -> Result<Option<Oddity>, CertificateError> {
    let bytes = rest.len();
    if rest.is_empty() {
        return Ok(oddity(block));
    }
    if block.kind == BlockKind::TrustedCertificate {
        return Ok(Some(Oddity::TrustSettings { bytes }));
    }
    let is_padding = rest.iter().all(|&byte| self::is_padding(byte));
    is_padding.then_some(Some(Oddity::Padding { bytes })).ok_or(CertificateError::TrailingData { bytes })
}

fn oddity(block: &Block<'_>) -> Option<Oddity> {
    match (block.damage, block.kind, block.label) {
        (Some(damage), ..) => Some(Oddity::Markers(damage)),
        (None, BlockKind::Certificate, pem::CERTIFICATE | "X509 CERTIFICATE") => None,
        (None, _, label) => Some(Oddity::Label(label.to_owned())),
    }
}

/// Says why a block cannot be read: by what it was recognised as, by its label, by its lost marker, or by its bytes.
fn unreadable(block: &Block<'_>, error: CertificateError) -> Unreadable {
    let cause = match (error, block.kind, block.damage) {
        (error @ (CertificateError::Is(_) | CertificateError::Pem(PemError::Hexadecimal)), ..) => error,
        (_, BlockKind::Container, _) => CertificateError::Is(InputKind::Pkcs7),
        (_, BlockKind::Request, _) => CertificateError::Is(InputKind::Request),
        (_, _, Some(damage @ (Damage::NoBegin | Damage::NoEnd))) => PemError::Marker(damage).into(),
        (error, ..) => error,
    };
    Unreadable { cause, certificate: None }
}
