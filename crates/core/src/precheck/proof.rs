//! Checks the verification certificate: the proof of possession of the key of a CA to register.

use time::OffsetDateTime;

use crate::certificate::{Certificate, Issuer, Verification};
use crate::job::{CertificateMode, RegisterCaCertificate};

use super::found::FoundCertificate;
use super::parameter::refuse_length;
use super::rules::{PEM_CHARS_MAX, check_certificate};
use super::{Field, Precheck, Rejection, Warning};

/// A certificate that the CA signed to prove possession of its key.
pub(super) struct Proof(Certificate);

impl Precheck {
    /// Checks the proof that the mode requires, except for its registration code.
    pub(super) fn judge_proof(
        &self,
        request: &RegisterCaCertificate,
        ca: &Issuer,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Proof>, Rejection> {
        let Some(text) = wanted_text(request)? else { return Ok(None) };
        let proof = self.read_proof(text, now, warnings);
        let proof = proof.map_err(|cause| Rejection::VerificationInvalid(Box::new(cause)))?;
        warnings.extend(refuse_other_signer(&proof, ca)?);
        Ok(Some(Proof(proof)))
    }

    fn read_proof(
        &self,
        text: &str,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Certificate, Rejection> {
        let found = FoundCertificate::read(FIELD, text).map_err(|not_found| *not_found.rejection)?;
        warnings.extend(found.warnings());
        let proof = found.certificate;
        warnings.extend(check_certificate(self.policy, FIELD, &proof, now)?);
        Ok(proof)
    }
}

const FIELD: Field = Field::VerificationCertificate;

/// Returns the text of the verification certificate, if the mode requires one. An empty text is refused in either mode,
/// because the minimum length in AWS's API model is 1.
fn wanted_text(request: &RegisterCaCertificate) -> Result<Option<&str>, Rejection> {
    let text = request.verification_certificate.as_deref();
    if text == Some("") {
        refuse_length(FIELD, "", (1, PEM_CHARS_MAX))?;
    }
    match (request.mode(), text) {
        (CertificateMode::Default, None) => Err(Rejection::VerificationMissing),
        (CertificateMode::SniOnly, Some(_)) => Err(Rejection::VerificationUnexpected),
        (CertificateMode::Default, Some(_)) | (CertificateMode::SniOnly, None) => Ok(text),
    }
}

fn refuse_other_signer(proof: &Certificate, ca: &Issuer) -> Result<Option<Warning>, Rejection> {
    let signer = ca.certificate();
    let verification = if proof.names_as_issuer(signer) { ca.verify(proof) } else { Verification::Bad };
    match verification {
        Verification::Good => Ok(None),
        Verification::Bad => {
            Err(Rejection::VerificationNotSigned { issuer: proof.issuer(), ca: signer.subject(), ca_id: signer.id() })
        }
        Verification::Unsupported => Ok(Some(Warning::signature_unverifiable(proof, signer))),
    }
}

impl Proof {
    /// Refuses a proof for another account. If there are several common names, one match is enough.
    pub(super) fn refuse_other_code(&self, registration_code: Option<&str>) -> Result<Option<Warning>, Rejection> {
        let Some(code) = registration_code else { return Ok(Some(Warning::RegistrationCodeUnchecked)) };
        if self.0.common_names().iter().any(|name| name == code) {
            return Ok(None);
        }
        Err(Rejection::RegistrationCodeMismatch { subject: self.0.subject(), code: code.to_owned() })
    }

    pub(super) fn to_pem(&self) -> String {
        self.0.to_pem()
    }
}
