//! RegisterCACertificate, far enough to have a CA: proof of its key, its mode, at most ten of one name.

use axum::http::request::Parts;
use serde::Deserialize;
use time::OffsetDateTime;

use super::authorities::Refusal;
use super::{CertificateMode, Iot, invalid, not_valid, query, rules};
use crate::certificate::{Issuer, Verification};
use crate::sandbox::answer::{Answer, AwsError};
use crate::sandbox::fault::Strike;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterCaCertificate {
    ca_certificate: String,
    verification_certificate: Option<String>,
    #[serde(default)]
    certificate_mode: CertificateMode,
    registration_config: Option<RegistrationConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationConfig {
    template_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    #[serde(default)]
    set_as_active: bool,
}

impl Iot {
    pub(super) fn register_ca_certificate(&self, head: &Parts, body: &[u8], strike: &Strike) -> Answer {
        let request: RegisterCaCertificate = serde_json::from_slice(body).map_err(|e| invalid(e.to_string()))?;
        let Query { set_as_active } = query(head)?;
        let now = OffsetDateTime::now_utc();
        let certificate = rules::read("caCertificate", &request.ca_certificate, now)?;
        let issuer = Issuer::new(certificate).map_err(|e| not_valid(e.to_string()))?;
        self.check_proof(&issuer, &request, now)?;
        check_template(request.registration_config.as_ref())?;
        let id = issuer.certificate().id();
        match self.authorities.register(issuer, set_as_active, request.certificate_mode) {
            Ok(()) => Ok(self.registered("cacert", id, strike)),
            Err(Refusal::AlreadyThere) => Err(self.already_exists("cacert", id)),
            Err(Refusal::TooManyOfOneName) => {
                let message = "The number of CA certificates with this subject exceeds the limit of 10";
                Err(AwsError::new(410, "LimitExceededException", message))
            }
        }
    }

    /// Mode DEFAULT wants a certificate that the CA signed for the registration code; mode `SNI_ONLY` wants none.
    fn check_proof(
        &self,
        issuer: &Issuer,
        request: &RegisterCaCertificate,
        now: OffsetDateTime,
    ) -> Result<(), AwsError> {
        let pem = match (request.certificate_mode, &request.verification_certificate) {
            (CertificateMode::SniOnly, None) => return Ok(()),
            (CertificateMode::SniOnly, Some(_)) => {
                return Err(invalid("verificationCertificate must not be given in mode SNI_ONLY"));
            }
            (CertificateMode::Default, None) => {
                return Err(invalid("verificationCertificate must be given in mode DEFAULT"));
            }
            (CertificateMode::Default, Some(pem)) => pem,
        };
        let proof = rules::read("verificationCertificate", pem, now)?;
        if !proof.names_as_issuer(issuer.certificate()) || issuer.verify(&proof) == Verification::Bad {
            return Err(not_valid("The verification certificate is not signed by the CA certificate"));
        }
        let wanted = format!("CN={}", self.registration_code());
        if !proof.subject().split(", ").any(|attribute| attribute == wanted) {
            let message = "The common name of the verification certificate is not the registration code";
            return Err(AwsError::new(400, "RegistrationCodeValidationException", message));
        }
        Ok(())
    }
}

/// The sandbox has no provisioning templates, so none can be found.
fn check_template(config: Option<&RegistrationConfig>) -> Result<(), AwsError> {
    match config.and_then(|config| config.template_name.as_deref()) {
        None => Ok(()),
        Some(name) => Err(AwsError::new(404, "ResourceNotFoundException", format!("Template {name} not found"))),
    }
}
