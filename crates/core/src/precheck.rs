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
mod rules;
mod warning;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::certificate::{CertificateId, Issuer, sha256};
use crate::job::Request;

use found::{FoundCertificate, NotFound};
use issuers::{GivenCas, KnownCas};

pub use checked::{Call, CheckedCertificate};
pub use field::Field;
pub use parameter::ParameterError;
pub use rejection::Rejection;
pub use rules::{PEM_CHARS_MAX, RSA_BITS_MIN};
pub use warning::Warning;

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
}

/// Prints the policy only.
impl fmt::Debug for Precheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Precheck").field("policy", &self.policy).finish_non_exhaustive()
    }
}
