//! Finds, before a call is spent, why AWS would refuse a certificate.
//!
//! Only what AWS documents or what somebody measured rejects; what is merely believed warns and forwards. A
//! [`CheckedCertificate`] can be made here only, so nothing unchecked reaches AWS. Pure: no I/O, no clock; no input
//! panics, and the work is bounded by [`PEM_CHARS_MAX`] whatever the input is. It builds no chains and asks nobody
//! about revocation.

mod authority;
mod checked;
mod device;
mod field;
mod found;
mod hint;
mod issuers;
mod parameter;
mod proof;
mod rejection;
mod warning;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::certificate::{Certificate, CertificateId, Issuer, Key, SignatureAlgorithm, pem, sha256};
use crate::job::Request;

use found::{FoundCertificate, NotFound};
use issuers::{GivenCas, KnownCas};

pub use checked::{Call, CheckedCertificate};
pub use field::Field;
pub use parameter::ParameterError;
pub use rejection::Rejection;
pub use warning::Warning;

/// Most characters that AWS takes in a PEM field, and most that are looked at here.
pub const PEM_CHARS_MAX: usize = 65_536;

/// Fewest bits of an RSA key that AWS takes.
pub const RSA_BITS_MIN: usize = 2048;

/// The judge of certificates: a policy and the CAs that it knows. Shared by all workers.
pub struct Precheck {
    policy: Policy,
    known: KnownCas,
    given: GivenCas,
}

/// What to do where AWS's own behaviour is not documented.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Policy {
    /// A certificate whose validity has not begun.
    #[serde(default)]
    pub not_yet_valid: NotYetValid,
}

/// What to do with a certificate whose validity has not begun.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotYetValid {
    /// Warns and forwards it.
    #[default]
    Warn,
    /// Rejects it.
    Reject,
}

/// What the precheck says about one job.
#[derive(Debug)]
pub struct Verdict {
    /// The certificate's id, or the SHA-256 of the PEM text where no certificate can be read.
    pub subject: [u8; 32],
    /// The certificate's id, where one can be read, rejected or not.
    pub certificate_id: Option<CertificateId>,
    /// What may be sent to AWS, or why nothing may.
    pub result: Result<CheckedCertificate, Rejection>,
    /// What looks wrong but may not matter to AWS, in the order in which it was found.
    pub warnings: Vec<Warning>,
}

impl Precheck {
    /// Makes a precheck that knows these CAs beside those that jobs carry.
    pub fn new(policy: Policy, known: impl IntoIterator<Item = Issuer>) -> Self {
        Self { policy, known: KnownCas::new(known), given: GivenCas::default() }
    }

    /// Judges the request of one job as of `now`. A CA's proof is held against the account's registration code, where
    /// that is given.
    pub fn check(&self, request: &Request, now: OffsetDateTime, registration_code: Option<&str>) -> Verdict {
        let field = if request.operation().is_of_ca() { Field::CaCertificate } else { Field::CertificatePem };
        let (found, certificate_id) = match FoundCertificate::read(field, request.pem()) {
            Ok(found) => {
                let id = found.certificate.id();
                (Ok(found), Some(id))
            }
            Err(NotFound { rejection, id }) => (Err(*rejection), id),
        };
        let mut warnings = Vec::new();
        let call = match request {
            Request::RegisterCertificate(its) => self.judge_device(its, found, now, &mut warnings),
            Request::RegisterCertificateWithoutCa(its) => self.judge_device_without_ca(its, found, now, &mut warnings),
            Request::RegisterCaCertificate(its) => {
                self.judge_authority(its, found, now, registration_code, &mut warnings)
            }
        };
        let subject = certificate_id.unwrap_or_else(|| CertificateId(sha256(request.pem().as_bytes())));
        let result = call.map(|call| CheckedCertificate { id: subject, call });
        Verdict { subject: subject.0, certificate_id, result, warnings }
    }

    fn check_validity(
        &self,
        field: Field,
        certificate: &Certificate,
        now: OffsetDateTime,
    ) -> Result<Option<Warning>, Rejection> {
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        if now > not_after {
            return Err(Rejection::Expired { not_after, now });
        }
        if now >= not_before {
            return Ok(None);
        }
        match self.policy.not_yet_valid {
            NotYetValid::Warn => Ok(Some(Warning::NotYetValid { field, not_before, now })),
            NotYetValid::Reject => Err(Rejection::NotYetValid { not_before, now }),
        }
    }
}

/// Most texts of a request that are looked into for private keys in an encoding: AWS takes 50 tags.
const LOOKED_INTO_MAX: usize = 128;

/// Refuses texts with private keys. Certificates are not looked into: what is in one is public.
fn refuse_private_keys<'a>(fields: impl IntoIterator<Item = (Field, Option<&'a String>)>) -> Result<(), Rejection> {
    let holds_key = |n: usize, text: &str| {
        pem::holds_private_key(text) || n < LOOKED_INTO_MAX && pem::hides_private_key_beside(text)
    };
    let mut numbered = fields.into_iter().enumerate();
    let found = numbered.find(|(n, (_, text))| text.is_some_and(|text| holds_key(*n, text)));
    found.map_or(Ok(()), |(_, (field, _))| Err(Rejection::PrivateKey { field }))
}

fn refuse_too_long(field: Field, text: &str) -> Result<(), Rejection> {
    // Bytes are counted first: they are known, and never fewer than the characters.
    if text.len() <= PEM_CHARS_MAX {
        return Ok(());
    }
    match text.chars().count() {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// One line as long as AWS takes becomes longer when it is broken into lines.
fn refuse_canonical_too_long(field: Field, certificate: &Certificate) -> Result<(), Rejection> {
    match pem::encoded_chars(pem::CERTIFICATE, certificate.der().len()) {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// AWS documents RSA of at least 2,048 bits and the three curves.
fn refuse_key(key: &Key) -> Result<(), Rejection> {
    match key {
        Key::Rsa { bits } if *bits < RSA_BITS_MIN => Err(Rejection::KeyTooSmall { bits: *bits }),
        // Of a curve that is written out only the size is known here, and not what AWS thinks of it.
        Key::ExplicitEc { bits: 256 | 384 | 521 } | Key::Rsa { .. } | Key::Ec { .. } => Ok(()),
        Key::ExplicitEc { .. } => Err(Rejection::KeyUnsupported { found: key.to_string() }),
        Key::Other { oid } => Err(Rejection::KeyUnsupported { found: oid.clone() }),
    }
}

/// Whatever has a variant of its own stands in AWS's list.
fn refuse_signature_algorithm(algorithm: &SignatureAlgorithm) -> Result<(), Rejection> {
    match algorithm {
        SignatureAlgorithm::Other(found) => Err(Rejection::SignatureAlgorithmUnsupported { found: found.clone() }),
        _ => Ok(()),
    }
}

/// Prints the policy only.
impl fmt::Debug for Precheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Precheck").field("policy", &self.policy).finish_non_exhaustive()
    }
}
