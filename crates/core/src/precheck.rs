//! Finds out, before a call is made, why AWS would refuse a certificate.
//!
//! A certificate is rejected only for a reason that AWS documents or that was measured. For a reason that is merely
//! assumed, it is forwarded with a warning. Only this module can create a [`CheckedCertificate`], so nothing unchecked
//! reaches AWS. Pure: no I/O, no clock. No input causes a panic, and [`PEM_CHARS_MAX`] bounds the work for any input.
//! It does not build chains or check revocation.

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

/// Maximum number of characters that AWS accepts in a PEM field, and that are examined here.
pub const PEM_CHARS_MAX: usize = 65_536;

/// Minimum size in bits of an RSA key that AWS accepts.
pub const RSA_BITS_MIN: usize = 2048;

/// Checks certificates by a policy and the CAs that it knows. Shared by all workers.
pub struct Precheck {
    policy: Policy,
    known: KnownCas,
    given: GivenCas,
}

/// What to do if AWS's own behaviour is not documented.
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

/// The result of the precheck of one job.
#[derive(Debug)]
pub struct Verdict {
    /// The certificate's id, or the SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
    /// The certificate's id, if one can be read, rejected or not.
    pub certificate_id: Option<CertificateId>,
    /// What may be sent to AWS, or why nothing may be sent.
    pub result: Result<CheckedCertificate, Rejection>,
    /// What looks wrong but may not matter to AWS, in the order in which it was found.
    pub warnings: Vec<Warning>,
}

impl Precheck {
    /// Creates a precheck that knows these CAs in addition to those that jobs carry.
    pub fn new(policy: Policy, known: impl IntoIterator<Item = Issuer>) -> Self {
        Self { policy, known: KnownCas::new(known), given: GivenCas::default() }
    }

    /// Checks the request of one job as of `now`. The verification certificate of a CA is checked against the account's
    /// registration code, if that is given.
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
            Request::RegisterCertificate(fields) => self.judge_device(fields, found, now, &mut warnings),
            Request::RegisterCertificateWithoutCa(fields) => {
                self.judge_device_without_ca(fields, found, now, &mut warnings)
            }
            Request::RegisterCaCertificate(fields) => {
                self.judge_authority(fields, found, now, registration_code, &mut warnings)
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

/// Maximum number of texts in a request that are searched for encoded private keys: AWS accepts 50 tags.
const SEARCHED_MAX: usize = 128;

/// Refuses texts with private keys. Certificates are not searched: their contents are public.
fn refuse_private_keys<'a>(fields: impl IntoIterator<Item = (Field, Option<&'a String>)>) -> Result<(), Rejection> {
    let holds_key = |n: usize, text: &str| {
        pem::holds_private_key(text) || n < SEARCHED_MAX && pem::hides_private_key_outside_certificates(text)
    };
    let mut numbered = fields.into_iter().enumerate();
    let found = numbered.find(|(n, (_, text))| text.is_some_and(|text| holds_key(*n, text)));
    found.map_or(Ok(()), |(_, (field, _))| Err(Rejection::PrivateKey { field }))
}

fn refuse_too_long(field: Field, text: &str) -> Result<(), Rejection> {
    // Checks bytes first: their count is known, and never below that of the characters.
    if text.len() <= PEM_CHARS_MAX {
        return Ok(());
    }
    match text.chars().count() {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// Refuses a certificate whose canonical PEM is too long. A single line that AWS would accept becomes longer when it is
/// broken into lines.
fn refuse_canonical_too_long(field: Field, certificate: &Certificate) -> Result<(), Rejection> {
    match pem::encoded_chars(pem::CERTIFICATE, certificate.der().len()) {
        0..=PEM_CHARS_MAX => Ok(()),
        found => Err(Rejection::PemTooLong { field, found }),
    }
}

/// Refuses keys other than those AWS documents: RSA of at least 2,048 bits and the three curves.
fn refuse_key(key: &Key) -> Result<(), Rejection> {
    match key {
        Key::Rsa { bits } if *bits < RSA_BITS_MIN => Err(Rejection::KeyTooSmall { bits: *bits }),
        // Only the size of an explicit curve is known here, and AWS does not document whether it accepts one.
        Key::ExplicitEc { bits: 256 | 384 | 521 } | Key::Rsa { .. } | Key::Ec { .. } => Ok(()),
        Key::ExplicitEc { .. } => Err(Rejection::KeyUnsupported { found: key.to_string() }),
        Key::Other { oid } => Err(Rejection::KeyUnsupported { found: oid.clone() }),
    }
}

/// Refuses algorithms that are not in AWS's list. Every algorithm with its own variant is in it.
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
