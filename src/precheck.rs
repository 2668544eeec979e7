//! Finds, before a call is spent, why AWS would refuse a certificate.
//!
//! Only what AWS documents or what somebody measured rejects; what is merely believed warns and forwards. A
//! [`CheckedCertificate`] can be made here only, so nothing unchecked reaches AWS. Pure: no I/O, no clock; no input
//! panics, and the work is bounded by [`PEM_CHARS_MAX`] whatever the input is. It builds no chains and asks nobody
//! about revocation.

mod issuers;
mod leaf;
mod rejection;
mod warning;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::certificate::{Certificate, CertificateId, Issuer, Key, SignatureAlgorithm, Verification, pem, sha256};
use crate::job::{CertificateStatus, RegisterCertificate};

use issuers::{GivenCas, KnownCas};
use leaf::Leaf;

pub use rejection::{Field, Rejection};
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

/// A certificate that AWS has no known reason to refuse, in the form in which it is sent.
pub struct CheckedCertificate {
    id: CertificateId,
    pem: String,
    ca_pem: Option<Arc<str>>,
    status: Option<CertificateStatus>,
    issuer_key: [u8; 32],
}

impl Precheck {
    /// Makes a precheck that knows these CAs beside those that jobs carry.
    pub fn new(policy: Policy, known: impl IntoIterator<Item = Issuer>) -> Self {
        Self { policy, known: KnownCas::new(known), given: GivenCas::default() }
    }

    /// Judges the certificate of one job as of `now`.
    pub fn check(&self, request: &RegisterCertificate, now: OffsetDateTime) -> Verdict {
        let leaf = Leaf::read(&request.certificate_pem);
        let certificate_id = leaf.as_ref().ok().map(|leaf| leaf.certificate.id());
        let mut warnings = Vec::new();
        Verdict {
            subject: certificate_id.map_or_else(|| sha256(request.certificate_pem.as_bytes()), |id| id.0),
            certificate_id,
            result: self.judge(request, leaf, now, &mut warnings),
            warnings,
        }
    }

    fn judge(
        &self,
        request: &RegisterCertificate,
        leaf: Result<Leaf, Rejection>,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<CheckedCertificate, Rejection> {
        // First, whatever else is wrong: a job that holds a private key must never be stored.
        refuse_private_keys(request)?;
        let leaf = leaf?;
        leaf.refuse_trailing_data()?;
        warnings.extend(leaf.warnings());
        let leaf = leaf.certificate;
        refuse_unusable_status(request.status)?;
        warnings.extend(self.check_validity(&leaf, now)?);
        refuse_key(leaf.key())?;
        refuse_signature_algorithm(leaf.signature_algorithm())?;
        let ca_pem = if let Some(text) = &request.ca_certificate_pem {
            Some(self.verify_under_given(text, &leaf, now, warnings)?)
        } else {
            warnings.extend(self.known.verify(&leaf, now)?);
            None
        };
        Ok(CheckedCertificate {
            id: leaf.id(),
            pem: leaf.to_pem(),
            ca_pem,
            status: request.status,
            issuer_key: sha256(leaf.issuer_der()),
        })
    }

    fn check_validity(&self, leaf: &Certificate, now: OffsetDateTime) -> Result<Option<Warning>, Rejection> {
        let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
        if now > not_after {
            return Err(Rejection::Expired { not_after, now });
        }
        if now >= not_before {
            return Ok(None);
        }
        match self.policy.not_yet_valid {
            NotYetValid::Warn => Ok(Some(Warning::NotYetValid { not_before, now })),
            NotYetValid::Reject => Err(Rejection::NotYetValid { not_before, now }),
        }
    }

    /// Verifies the leaf under the CA that the job carries, and returns that CA as it is sent.
    fn verify_under_given(
        &self,
        ca_text: &str,
        leaf: &Certificate,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Arc<str>, Rejection> {
        let given = self.given.read(ca_text)?;
        let ca = given.issuer.certificate();
        if !leaf.names_as_issuer(ca) {
            return Err(Rejection::IssuerMismatch { issuer: leaf.issuer(), ca: ca.subject() });
        }
        match given.issuer.verify(leaf) {
            Verification::Good => {}
            Verification::Bad => return Err(Rejection::signature_invalid(leaf, ca)),
            Verification::Unsupported => warnings.push(Warning::signature_unverifiable(leaf, ca)),
        }
        warnings.extend(given.warning());
        warnings.extend(Warning::about_ca(ca, now));
        Ok(Arc::clone(&given.pem))
    }
}

fn refuse_private_keys(request: &RegisterCertificate) -> Result<(), Rejection> {
    let ca = request.ca_certificate_pem.as_deref().unwrap_or_default();
    for (field, text) in [(Field::CertificatePem, request.certificate_pem.as_str()), (Field::CaCertificatePem, ca)] {
        if pem::holds_private_key(text) {
            return Err(Rejection::PrivateKey { field });
        }
    }
    Ok(())
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

/// AWS answers 406 to any other status of a registration (measured by others for `PENDING_ACTIVATION`).
fn refuse_unusable_status(status: Option<CertificateStatus>) -> Result<(), Rejection> {
    match status {
        None | Some(CertificateStatus::Active | CertificateStatus::Inactive | CertificateStatus::Revoked) => Ok(()),
        Some(status) => Err(Rejection::StatusUnusable { status }),
    }
}

/// AWS documents RSA of at least 2,048 bits and the three curves.
fn refuse_key(key: &Key) -> Result<(), Rejection> {
    match key {
        Key::Rsa { bits } if *bits < RSA_BITS_MIN => Err(Rejection::KeyTooSmall { bits: *bits }),
        Key::Rsa { .. } | Key::Ec { .. } => Ok(()),
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

impl CheckedCertificate {
    /// The id that AWS will give it.
    pub fn id(&self) -> CertificateId {
        self.id
    }

    /// The certificate alone, as canonical PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The CA that the job carried, as canonical PEM.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The status that the job asked for; where it asked for none, none is sent.
    pub fn status(&self) -> Option<CertificateStatus> {
        self.status
    }

    /// The SHA-256 of the issuer's name: equal for all certificates of one CA.
    pub fn issuer_key(&self) -> [u8; 32] {
        self.issuer_key
    }
}

/// Prints the id only: a PEM body never reaches a log.
impl fmt::Debug for CheckedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedCertificate({})", self.id)
    }
}

/// Prints the policy only.
impl fmt::Debug for Precheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Precheck").field("policy", &self.policy).finish_non_exhaustive()
    }
}
