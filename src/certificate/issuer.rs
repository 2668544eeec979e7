//! A CA certificate whose key is parsed once and then verifies many signatures.
//!
//! aws-lc-rs wants a key parsed for each hash, so an issuer holds one parsed key for every algorithm that fits its key.
//! It says [`Verification::Unsupported`] rather than guess; it builds no chains and looks at no dates.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::{Certificate, Curve, Hash, Key, SignatureAlgorithm};

/// A CA certificate that can verify what it signed.
pub struct Issuer {
    certificate: Certificate,
    keys: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

/// What a signature turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verification {
    /// The issuer's key made it.
    Good,
    /// The issuer's key did not make it.
    Bad,
    /// The algorithm or the issuer's key is one that cannot be used here: nobody knows.
    Unsupported,
}

/// Why a certificate cannot issue others.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IssuerError {
    /// AWS takes only CA certificates that say that they are one.
    #[error("{subject} is no CA certificate: its basicConstraints do not say CA:true")]
    NotACa {
        /// The certificate's subject.
        subject: String,
    },
}

impl Issuer {
    /// Parses the key of a CA certificate. A key that cannot be used here is no error: see [`Verification::Unsupported`].
    ///
    /// # Errors
    /// The certificate is not a CA's.
    pub fn new(certificate: Certificate) -> Result<Self, IssuerError> {
        if !certificate.is_ca() {
            return Err(IssuerError::NotACa { subject: certificate.subject() });
        }
        let key_der = certificate.public_key_der();
        let keys = fitting(certificate.key())
            .iter()
            .filter_map(|(algorithm, verifier)| {
                Some((algorithm.clone(), ParsedPublicKey::new(*verifier, key_der).ok()?))
            })
            .collect();
        Ok(Self { certificate, keys })
    }

    /// The CA certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Verifies the signature of `leaf` under this issuer's key. Names, dates and extensions play no part.
    pub fn verify(&self, leaf: &Certificate) -> Verification {
        if self.keys.is_empty() || !leaf.signature_algorithm().is_verifiable() {
            return Verification::Unsupported;
        }
        let key = self.keys.iter().find(|(algorithm, _)| algorithm == leaf.signature_algorithm());
        // A key of another kind than the signature's cannot have made it.
        let Some((_, key)) = key else { return Verification::Bad };
        match key.verify_sig(leaf.signed_part(), &leaf.signature) {
            Ok(()) => Verification::Good,
            Err(_) => Verification::Bad,
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({:?})", self.certificate)
    }
}

type Verifier = (SignatureAlgorithm, &'static dyn VerificationAlgorithm);

/// The algorithms that a key can verify here. RSA beyond 8,192 bits would make a check arbitrarily slow.
fn fitting(key: &Key) -> &'static [Verifier] {
    match key {
        Key::Rsa { bits: 2048..=8192 } => &RSA,
        Key::Ec { curve: Curve::P256 } => &P256,
        Key::Ec { curve: Curve::P384 } => &P384,
        Key::Ec { curve: Curve::P521 } => &P521,
        Key::Rsa { .. } | Key::Other { .. } => &[],
    }
}

static RSA: [Verifier; 6] = [
    (SignatureAlgorithm::RsaPkcs1(Hash::Sha256), &signature::RSA_PKCS1_2048_8192_SHA256),
    (SignatureAlgorithm::RsaPkcs1(Hash::Sha384), &signature::RSA_PKCS1_2048_8192_SHA384),
    (SignatureAlgorithm::RsaPkcs1(Hash::Sha512), &signature::RSA_PKCS1_2048_8192_SHA512),
    (SignatureAlgorithm::RsaPss(Hash::Sha256), &signature::RSA_PSS_2048_8192_SHA256),
    (SignatureAlgorithm::RsaPss(Hash::Sha384), &signature::RSA_PSS_2048_8192_SHA384),
    (SignatureAlgorithm::RsaPss(Hash::Sha512), &signature::RSA_PSS_2048_8192_SHA512),
];

static P256: [Verifier; 3] = [
    (SignatureAlgorithm::Ecdsa(Hash::Sha256), &signature::ECDSA_P256_SHA256_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha384), &signature::ECDSA_P256_SHA384_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha512), &signature::ECDSA_P256_SHA512_ASN1),
];

static P384: [Verifier; 3] = [
    (SignatureAlgorithm::Ecdsa(Hash::Sha256), &signature::ECDSA_P384_SHA256_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha384), &signature::ECDSA_P384_SHA384_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha512), &signature::ECDSA_P384_SHA512_ASN1),
];

static P521: [Verifier; 3] = [
    (SignatureAlgorithm::Ecdsa(Hash::Sha256), &signature::ECDSA_P521_SHA256_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha384), &signature::ECDSA_P521_SHA384_ASN1),
    (SignatureAlgorithm::Ecdsa(Hash::Sha512), &signature::ECDSA_P521_SHA512_ASN1),
];
