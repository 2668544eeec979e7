//! Finds everything in a text that looks like a certificate. Files and messages share this reader.
//!
//! Invariant: everything that looks like a certificate becomes an [`Input`], either parsed or with the reason why it
//! cannot be read. Whatever can be identified with certainty is parsed, because DER encodes its own length; anything
//! unusual about it is reported as an [`Oddity`]. Private keys are not inputs: callers look for them first.

use super::pem::{self, Block, BlockKind, Damage, PemError};
use super::{Certificate, CertificateError, InputKind};

/// Something that looks like a certificate.
#[derive(Clone, Debug)]
pub struct Input {
    /// The certificate, or why it could not be read.
    pub read: Result<Certificate, Unreadable>,
    /// What is unusual about the text around a certificate that was read.
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

/// What is unusual about the text of a certificate that could be read with certainty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Oddity {
    /// Its markers are damaged or missing.
    Markers(Damage),
    /// The label is not a certificate's.
    Label(String),
    /// Padding follows it, such as NUL bytes, FF bytes or line ends.
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

/// Finds the inputs of a text, in order. The text must not contain NULs (see [`pem::without_nuls`]).
pub fn inputs(text: &str) -> impl Iterator<Item = Input> {
    pem::blocks(text).filter(|block| block.kind != BlockKind::PrivateKey).flat_map(|block| inputs_of(&block))
}

/// Returns whether a byte may be padding left by dumps of secure elements or flash, or by transfers in text mode.
pub fn is_padding(byte: u8) -> bool {
    matches!(byte, 0x00 | 0xff | b'\r' | b'\n' | b' ' | b'\t' | 0x1a)
}

impl Input {
    /// Returns whether this is a private key in place of a certificate.
    pub fn is_private_key(&self) -> bool {
        matches!(&self.read, Err(Unreadable { cause: CertificateError::Is(InputKind::PrivateKey), .. }))
    }

    /// The certificate, even if what follows it cannot be read.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.read {
            Ok(certificate) => Some(certificate),
            Err(unreadable) => unreadable.certificate.as_deref(),
        }
    }
}

/// Returns the inputs of one block: one for each consecutive certificate, or one that cannot be read.
fn inputs_of(block: &Block<'_>) -> Vec<Input> {
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
        inputs.push(match classify_rest(block, rest) {
            Ok(oddity) => input(Ok(certificate), oddity),
            Err(cause) => input(Err(Unreadable { cause, certificate: Some(Box::new(certificate)) }), None),
        });
        return inputs;
    }
}

/// Classifies what follows the last certificate of a block.
fn classify_rest(block: &Block<'_>, rest: &[u8]) -> Result<Option<Oddity>, CertificateError> {
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

/// Explains why a block cannot be read: by its recognised format, its label, its missing marker or its bytes, in this
/// order.
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
