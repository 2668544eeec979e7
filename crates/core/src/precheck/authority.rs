//! Checks the call that registers a CA.

use time::OffsetDateTime;

use crate::certificate::{Issuer, IssuerError, Verification, sha256};
use crate::job::RegisterCaCertificate;

use super::found::FoundCertificate;
use super::rules::{check_certificate, refuse_private_keys};
use super::{Call, Field, Precheck, Rejection, Warning, parameter};

impl Precheck {
    /// Checks a CA. `registration_code` is the account's, if it is known.
    pub(super) fn judge_authority(
        &self,
        request: &RegisterCaCertificate,
        ca: Result<FoundCertificate, Rejection>,
        now: OffsetDateTime,
        registration_code: Option<&str>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Call, Rejection> {
        refuse_private_keys(texts(request))?;
        let ca = self.judge_ca(ca?, now, warnings)?;
        warnings.extend(parameter::judge(request)?);
        let proof = self.judge_proof(request, &ca, now, warnings)?;
        if let Some(proof) = &proof {
            warnings.extend(proof.refuse_other_code(registration_code)?);
        }
        let ca = ca.certificate();
        let request = Box::new(RegisterCaCertificate {
            ca_certificate: ca.to_pem(),
            verification_certificate: proof.map(|proof| proof.to_pem()),
            ..request.clone()
        });
        Ok(Call::RegisterCaCertificate { request, subject_key: sha256(ca.subject_der()) })
    }

    fn judge_ca(
        &self,
        found: FoundCertificate,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Issuer, Rejection> {
        const FIELD: Field = Field::CaCertificate;
        warnings.extend(found.warnings());
        let ca = Issuer::new(found.certificate)
            .map_err(|IssuerError::NotACa { subject }| Rejection::CaNotACa { field: FIELD, subject })?;
        let certificate = ca.certificate();
        warnings.extend(check_certificate(self.policy, FIELD, certificate, now)?);
        warnings.extend(verify_own_signature(&ca)?);
        warnings.extend((!certificate.may_sign_certificates()).then_some(Warning::CaKeyUsage));
        warnings.extend(certificate.is_nameless().then_some(Warning::CaNameless));
        Ok(ca)
    }
}

/// Returns every text of the request, because any of them may contain a private key.
fn texts(request: &RegisterCaCertificate) -> impl Iterator<Item = (Field, Option<&String>)> {
    let config = request.registration_config.as_ref();
    let tags = request.tags.iter().enumerate();
    [
        (Field::CaCertificate, Some(&request.ca_certificate)),
        (Field::VerificationCertificate, request.verification_certificate.as_ref()),
        (Field::TemplateBody, config.and_then(|config| config.template_body.as_ref())),
        (Field::RoleArn, config.and_then(|config| config.role_arn.as_ref())),
        (Field::TemplateName, config.and_then(|config| config.template_name.as_ref())),
    ]
    .into_iter()
    .chain(tags.flat_map(|(at, tag)| [(Field::TagKey(at), Some(&tag.key)), (Field::TagValue(at), tag.value.as_ref())]))
}

/// Verifies a CA that issued itself with its own key. If the key ids differ, an older key of the same name signed it
/// (RFC 5280, 3.2), which is not available here.
fn verify_own_signature(ca: &Issuer) -> Result<Option<Warning>, Rejection> {
    let certificate = ca.certificate();
    if !(certificate.is_self_issued() && ca.may_have_issued(certificate)) {
        return Ok(None);
    }
    match ca.verify(certificate) {
        Verification::Good => Ok(None),
        Verification::Bad => Err(Rejection::signature_invalid(certificate, certificate)),
        Verification::Unsupported => Ok(Some(Warning::signature_unverifiable(certificate, certificate))),
    }
}
