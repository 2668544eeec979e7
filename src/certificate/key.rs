//! The kind and size of a certificate's key. Nothing is computed with the key: sizes are counted from its bytes.

use std::fmt;

use x509_parser::asn1_rs::{Any, FromDer, Oid};
use x509_parser::error::X509Error;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::oid;

/// The kind and size of a key. Displays as `RSA-2048`, `EC P-256` or the name of its algorithm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// An RSA key.
    Rsa {
        /// The modulus without leading zeros, in bits.
        bits: usize,
    },
    /// A key on a curve that AWS takes.
    Ec {
        /// The curve.
        curve: Curve,
    },
    /// Any other algorithm or curve.
    Other {
        /// The algorithm's or curve's name where it has one, and its number.
        oid: String,
    },
}

/// The curves that AWS takes.
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
    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, X509Error> {
        match info.algorithm.algorithm.as_bytes() {
            oid::RSA | oid::RSA_PSS => Ok(Self::Rsa { bits: modulus_bits(&info.subject_public_key.data)? }),
            oid::EC => Ok(Self::on_curve(&info.algorithm)),
            _ => Ok(Self::Other { oid: oid::printable(&info.algorithm.algorithm) }),
        }
    }

    /// A curve may also be given by its equations; no curve so given is one that AWS is known to take.
    fn on_curve(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        let named = algorithm.parameters.as_ref().and_then(|any: &Any<'_>| Oid::try_from(any.clone()).ok());
        let Some(curve) = named else { return Self::Other { oid: "EC on a curve without a name".to_owned() } };
        match curve.as_bytes() {
            oid::P256 => Self::Ec { curve: Curve::P256 },
            oid::P384 => Self::Ec { curve: Curve::P384 },
            oid::P521 => Self::Ec { curve: Curve::P521 },
            _ => Self::Other { oid: oid::printable(&curve) },
        }
    }
}

fn modulus_bits(rsa_public_key: &[u8]) -> Result<usize, X509Error> {
    let (_, key) = RSAPublicKey::from_der(rsa_public_key).map_err(X509Error::from)?;
    let zeros = key.modulus.iter().take_while(|&&byte| byte == 0).count();
    Ok(match &key.modulus[zeros..] {
        [] => 0,
        digits @ [first, ..] => digits.len() * 8 - first.leading_zeros() as usize,
    })
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::Ec { curve } => write!(f, "EC {curve}"),
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
