//! A CA certificate whose key is parsed once and then verifies many signatures.
//!
//! aws-lc-rs requires a key to be parsed for each hash, so an issuer holds one parsed key for every algorithm that its
//! key supports. It returns [`Verification::Unsupported`] rather than guess. It does not build chains or check dates.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::{Certificate, Curve, Hash, Key, SignatureAlgorithm};

/// Maximum number of CAs with the same name and key id that a certificate is verified against. Only hostile texts have
/// more.
const VERIFIED_MAX: usize = 4;

/// A CA certificate that can verify what it signed.
pub struct Issuer {
    certificate: Certificate,
    keys: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

/// The result of verifying a signature, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verification {
    /// The issuer's key made the signature.
    Good,
    /// The algorithm or the issuer's key is not supported here: the signature may be valid or not.
    Unsupported,
    /// The issuer's key did not make the signature.
    Bad,
}

/// Why a certificate cannot issue others.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IssuerError {
    /// The certificate does not say that it is a CA's, which AWS requires.
    #[error("{subject} is not a CA certificate: its basicConstraints do not say CA:true")]
    NotACa {
        /// The certificate's subject.
        subject: String,
    },
}

impl Issuer {
    /// Creates an issuer from a CA certificate. An unsupported key is not an error: see [`Verification::Unsupported`].
    ///
    /// # Errors
    /// Fails if the certificate is not a CA's.
    pub fn new(certificate: Certificate) -> Result<Self, IssuerError> {
        if !certificate.is_ca() {
            return Err(IssuerError::NotACa { subject: certificate.subject() });
        }
        Ok(Self::of_any(certificate))
    }

    /// Creates an issuer from any certificate, CA or not.
    pub(super) fn of_any(certificate: Certificate) -> Self {
        let key_der = certificate.public_key_der();
        let keys = verifiers_for(certificate.key())
            .iter()
            .filter_map(|(algorithm, verifier)| {
                Some((algorithm.clone(), ParsedPublicKey::new(*verifier, key_der).ok()?))
            })
            .collect();
        Self { certificate, keys }
    }

    /// Finds which of several CAs issued a certificate: by name and key id, then by the signature if several have both.
    /// Returns the CA's index and the result of verifying the signature, or `None` if no CA has the issuer's name.
    pub fn among<'a>(cas: impl Iterator<Item = &'a Self>, leaf: &Certificate) -> Option<(usize, Verification)> {
        let name = leaf.issuer_key();
        let named: Vec<_> = cas.enumerate().filter(|(_, ca)| ca.certificate.subject_key() == name).collect();
        let candidates = named.iter().filter(|(_, ca)| ca.may_have_issued(leaf)).take(VERIFIED_MAX);
        let verified = candidates.map(|(at, ca)| (*at, ca.verify(leaf)));
        // Among equals, the first wins. If no key id matches, the first CA of the name shows the mismatch.
        let best = verified.min_by_key(|(_, verification)| *verification);
        best.or_else(|| named.first().map(|(at, ca)| (*at, ca.verify(leaf))))
    }

    /// Returns whether the key ids are consistent with this CA having issued a certificate.
    pub fn may_have_issued(&self, leaf: &Certificate) -> bool {
        leaf.authority_key_id().is_none_or(|wanted| self.certificate.subject_key_id() == Some(wanted))
    }

    /// The CA certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Verifies the signature of `leaf` with this issuer's key. Ignores names, dates and extensions.
    pub fn verify(&self, leaf: &Certificate) -> Verification {
        if self.keys.is_empty() || !leaf.signature_algorithm().is_verifiable() {
            return Verification::Unsupported;
        }
        let key = self.keys.iter().find(|(algorithm, _)| algorithm == leaf.signature_algorithm());
        // A key of a different kind cannot have made the signature.
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

/// Returns the algorithms that a key can verify here. RSA keys over 8,192 bits would make a check arbitrarily slow.
fn verifiers_for(key: &Key) -> &'static [Verifier] {
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
