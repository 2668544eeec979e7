//! A CA certificate whose key is parsed once and then verifies many signatures.
//!
//! aws-lc-rs wants a key parsed for each hash, so an issuer holds one parsed key for every algorithm that fits its key.
//! It says [`Verification::Unsupported`] rather than guess; it builds no chains and looks at no dates.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::{Certificate, Curve, Hash, Key, SignatureAlgorithm};

/// Most CAs of one name and key id that a certificate is verified under: more there are in hostile texts only.
const VERIFIED_MAX: usize = 4;

/// A CA certificate that can verify what it signed.
pub struct Issuer {
    certificate: Certificate,
    keys: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

/// What a signature turned out to be, in the order of how good that is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verification {
    /// The issuer's key made it.
    Good,
    /// The algorithm or the issuer's key is one that cannot be used here: nobody knows.
    Unsupported,
    /// The issuer's key did not make it.
    Bad,
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
        Ok(Self::of_any(certificate))
    }

    /// Parses the key of a certificate that may not be a CA's.
    pub(super) fn of_any(certificate: Certificate) -> Self {
        let key_der = certificate.public_key_der();
        let keys = fitting(certificate.key())
            .iter()
            .filter_map(|(algorithm, verifier)| {
                Some((algorithm.clone(), ParsedPublicKey::new(*verifier, key_der).ok()?))
            })
            .collect();
        Self { certificate, keys }
    }

    /// Finds which of several CAs issued a certificate: by name and key id, and by the signature where several have both.
    /// Returns its place among them, and what came of verifying the signature; nothing where none has the issuer's name.
    pub fn among<'a>(cas: impl Iterator<Item = &'a Self>, leaf: &Certificate) -> Option<(usize, Verification)> {
        let name = leaf.issuer_key();
        let named: Vec<_> = cas.enumerate().filter(|(_, ca)| ca.certificate.subject_key() == name).collect();
        let fitting = named.iter().filter(|(_, ca)| ca.may_have_issued(leaf)).take(VERIFIED_MAX);
        let verified = fitting.map(|(at, ca)| (*at, ca.verify(leaf)));
        // Of equals the first stays. Where the key ids of none fit, the first of the name shows what does not.
        let best = verified.min_by_key(|(_, verification)| *verification);
        best.or_else(|| named.first().map(|(at, ca)| (*at, ca.verify(leaf))))
    }

    /// Says whether the key ids let this CA have issued a certificate.
    pub fn may_have_issued(&self, leaf: &Certificate) -> bool {
        leaf.authority_key_id().is_none_or(|wanted| self.certificate.subject_key_id() == Some(wanted))
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
        Key::Rsa { .. } | Key::ExplicitEc { .. } | Key::Other { .. } => &[],
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
