//! The algorithm of a certificate's signature.
//!
//! Everything but [`SignatureAlgorithm::Other`] is in AWS's list of accepted algorithms (RSASSA-PSS only in one version
//! of AWS's documentation).

use std::fmt;

use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use super::oid;

/// The algorithm of a signature. Displays as the name that OpenSSL prints, if there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SignatureAlgorithm {
    /// RSA with PKCS #1 v1.5 padding.
    RsaPkcs1(Hash),
    /// RSASSA-PSS with one hash throughout and a salt as long as the hash.
    RsaPss(Hash),
    /// RSASSA-PSS with any other parameters.
    RsaPssUnusual,
    /// ECDSA.
    Ecdsa(Hash),
    /// DSA with SHA-256.
    DsaSha256,
    /// Any other algorithm: its name, if it has one, and its object identifier.
    Other(String),
}

/// The hashes of the signatures that AWS accepts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl SignatureAlgorithm {
    pub(super) fn read(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        match algorithm.algorithm.as_bytes() {
            oid::RSA_SHA256 => Self::RsaPkcs1(Hash::Sha256),
            oid::RSA_SHA384 => Self::RsaPkcs1(Hash::Sha384),
            oid::RSA_SHA512 => Self::RsaPkcs1(Hash::Sha512),
            oid::RSA_PSS => usual_pss_hash(algorithm).map_or(Self::RsaPssUnusual, Self::RsaPss),
            oid::ECDSA_SHA256 => Self::Ecdsa(Hash::Sha256),
            oid::ECDSA_SHA384 => Self::Ecdsa(Hash::Sha384),
            oid::ECDSA_SHA512 => Self::Ecdsa(Hash::Sha512),
            oid::DSA_SHA256 => Self::DsaSha256,
            _ => Self::Other(oid::printable(&algorithm.algorithm)),
        }
    }

    /// Returns whether signatures of this algorithm can be verified here, given a suitable key.
    pub fn is_verifiable(&self) -> bool {
        matches!(self, Self::RsaPkcs1(_) | Self::RsaPss(_) | Self::Ecdsa(_))
    }
}

/// Reads the parameters of RSASSA-PSS (RFC 4055, 3.1). Returns the hash if hash, mask and salt are consistent.
fn usual_pss_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
    let mask = parameters.mask_gen_algorithm().ok()?;
    let hash = Hash::from_oid(parameters.hash_algorithm()?.algorithm.as_bytes())?;
    let is_usual = mask.mgf.as_bytes() == oid::MGF1
        && Hash::from_oid(mask.hash.as_bytes()) == Some(hash)
        && parameters.salt_length() == hash.bytes()
        && parameters.trailer_field() == 1;
    is_usual.then_some(hash)
}

impl Hash {
    fn from_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(hash) => write!(f, "sha{}WithRSAEncryption", hash.bytes() * 8),
            Self::RsaPss(hash) => write!(f, "rsassaPss with SHA{}", hash.bytes() * 8),
            Self::RsaPssUnusual => f.write_str("rsassaPss with unusual parameters"),
            Self::Ecdsa(hash) => write!(f, "ecdsa-with-SHA{}", hash.bytes() * 8),
            Self::DsaSha256 => f.write_str("dsa_with_SHA256"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
