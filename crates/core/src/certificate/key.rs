//! The kind and size of a certificate's key. Nothing is computed with the key: sizes are counted from its bytes.

use std::fmt;

use x509_parser::asn1_rs::{Any, FromDer, Oid, Tag};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::der::{element, elements, tag};
use super::parse::{CertificatePart, PartFault};
use super::{CertificateError, oid};

/// The kind and size of a key. Displays as `RSA-2048`, `EC P-256`, `EC with explicit parameters (256 bits)` or the name
/// of its algorithm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// An RSA key.
    Rsa {
        /// The modulus without leading zeros, in bits.
        bits: usize,
    },
    /// A key on a curve that AWS accepts.
    Ec {
        /// The curve.
        curve: Curve,
    },
    /// A key whose curve is given by explicit parameters instead of a name. It is not documented what AWS does with it.
    ExplicitEc {
        /// The size of the curve's field in bits.
        bits: usize,
    },
    /// Any other algorithm or curve.
    Other {
        /// The name of the algorithm or curve, if it has one, and its object identifier.
        oid: String,
    },
}

/// The curves that AWS accepts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Curve {
    /// P-256, also prime256v1 and secp256r1.
    P256,
    /// P-384, also secp384r1.
    P384,
    /// P-521, also secp521r1.
    P521,
}

impl Key {
    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, CertificateError> {
        match info.algorithm.algorithm.as_bytes() {
            oid::RSA | oid::RSA_PSS => Ok(Self::Rsa { bits: modulus_bits(&info.subject_public_key.data)? }),
            oid::EC => Ok(Self::on_curve(&info.algorithm)),
            _ => Ok(Self::Other { oid: oid::printable(&info.algorithm.algorithm) }),
        }
    }

    fn on_curve(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        let Some(parameters) = &algorithm.parameters else {
            return Self::Other { oid: "EC on an unnamed curve".to_owned() };
        };
        match parameters.tag() {
            Tag::Oid => Self::on_named_curve(parameters),
            Tag::Sequence => match field_bits(parameters.data) {
                Some(bits) => Self::ExplicitEc { bits },
                None => Self::Other { oid: "EC with explicit parameters that cannot be read".to_owned() },
            },
            _ => Self::Other { oid: "EC on an unnamed curve".to_owned() },
        }
    }

    fn on_named_curve(parameters: &Any<'_>) -> Self {
        let Ok(curve) = Oid::try_from(parameters.clone()) else {
            return Self::Other { oid: "EC on a curve with an unreadable name".to_owned() };
        };
        match curve.as_bytes() {
            oid::P256 => Self::Ec { curve: Curve::P256 },
            oid::P384 => Self::Ec { curve: Curve::P384 },
            oid::P521 => Self::Ec { curve: Curve::P521 },
            _ => Self::Other { oid: oid::printable(&curve) },
        }
    }
}

/// Returns the size in bits of the prime field of explicit parameters. They hold a version, then the type of field and
/// its prime (RFC 3279, 2.3.5).
fn field_bits(parameters: &[u8]) -> Option<usize> {
    let mut parts = elements(parameters);
    parts.next().filter(|version| version.tag == tag::INTEGER)?;
    let field = parts.next().filter(|field| field.tag == tag::SEQUENCE)?;
    let (kind, prime) = element(field.content).ok()?;
    let prime = elements(prime).next().filter(|prime| prime.tag == tag::INTEGER)?;
    (kind.content == oid::PRIME_FIELD).then(|| bits(prime.content))
}

fn modulus_bits(rsa_public_key: &[u8]) -> Result<usize, CertificateError> {
    let damaged = CertificateError::Malformed { part: CertificatePart::PublicKey, fault: PartFault::Unreadable };
    let (_, key) = RSAPublicKey::from_der(rsa_public_key).map_err(|_| damaged)?;
    Ok(bits(key.modulus))
}

/// Counts the bits of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    match &number[zeros..] {
        [] => 0,
        digits @ [first, ..] => digits.len() * 8 - first.leading_zeros() as usize,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::Ec { curve } => write!(f, "EC {curve}"),
            Self::ExplicitEc { bits } => write!(f, "EC with explicit parameters ({bits} bits)"),
            Self::Other { oid } => f.write_str(oid),
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}
