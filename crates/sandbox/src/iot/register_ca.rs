//! RegisterCACertificate.
//!
//! Checks, in order: the constraints of the request, the proof of the CA's key, the template and role, and the limit of
//! ten CAs with the same subject.

use axum::http::request::Parts;
use serde::Deserialize;
use time::OffsetDateTime;

use super::authorities::{CaState, Refusal};
use super::error::{invalid, not_found, not_valid, too_many};
use super::registration_config::ProvisioningConfig;
use super::tags::{self, SandboxTag};
use super::{Iot, request, rules};
use crate::answer::{AwsError, Reply};
use crate::fault::Strike;
use muster_core::certificate::{Issuer, Verification};
use muster_core::job::CertificateMode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterCaRequest {
    ca_certificate: String,
    verification_certificate: Option<String>,
    #[serde(default)]
    certificate_mode: CertificateMode,
    registration_config: Option<ProvisioningConfig>,
    #[serde(default)]
    tags: Vec<SandboxTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterCaQuery {
    #[serde(default)]
    set_as_active: bool,
    #[serde(default)]
    allow_auto_registration: bool,
}

impl Iot {
    pub(super) fn register_ca_certificate(&self, head: &Parts, body: &[u8], strike: &Strike) -> Reply {
        let call: RegisterCaRequest = request::body(body)?;
        let query: RegisterCaQuery = request::query(head)?;
        let proof = wanted_proof(call.certificate_mode, call.verification_certificate.as_deref())?;
        let tags = tags::checked(call.tags)?;
        let now = OffsetDateTime::now_utc();
        let certificate = rules::read("caCertificate", &call.ca_certificate, now)?;
        let issuer = Issuer::new(certificate).map_err(|e| not_valid(e.to_string()))?;
        proof.map_or(Ok(()), |proof| self.check_proof(&issuer, proof, now))?;
        self.check_provisioning(call.registration_config.as_ref())?;

        let mut authority = CaState::now(issuer, query.set_as_active);
        authority.registered.mode = call.certificate_mode;
        authority.registered.auto_registration = query.allow_auto_registration;
        authority.registered.registration_config = call.registration_config;
        authority.registered.tags = tags;
        self.add_authority(authority, strike)
    }

    fn add_authority(&self, authority: CaState, strike: &Strike) -> Reply {
        let id = authority.registered.id;
        match self.authorities.register(authority) {
            Ok(()) => Ok(self.registered("cacert", id, strike)),
            Err(Refusal::AlreadyRegistered) => Err(self.already_exists("cacert", id)),
            Err(Refusal::TooManyOfOneSubject) => {
                Err(too_many("The number of CA certificates with this subject exceeds the limit of 10"))
            }
        }
    }

    /// Checks that the CA signed a certificate whose common name is the registration code.
    fn check_proof(&self, issuer: &Issuer, pem: &str, now: OffsetDateTime) -> Result<(), AwsError> {
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

    /// Checks a provisioning config, and that its template and role exist.
    pub(super) fn check_provisioning(&self, config: Option<&ProvisioningConfig>) -> Result<(), AwsError> {
        let Some(config) = config else { return Ok(()) };
        config.check()?;
        let role = config.role()?;
        if let Some(name) = config.template_name.as_ref().filter(|name| !self.has_template(name)) {
            return Err(not_found(format!("The provisioning template {name} does not exist")));
        }
        match role.filter(|arn| !self.roles.has(arn)) {
            None => Ok(()),
            Some(arn) => Err(not_found(format!("The role {arn} does not exist"))),
        }
    }
}

/// Returns the proof of the key that the mode requires: one in mode DEFAULT, none in mode `SNI_ONLY`.
fn wanted_proof(mode: CertificateMode, pem: Option<&str>) -> Result<Option<&str>, AwsError> {
    match (mode, pem) {
        (CertificateMode::Default, None) => Err(invalid("verificationCertificate must be given in mode DEFAULT")),
        (CertificateMode::SniOnly, Some(_)) => {
            Err(invalid("verificationCertificate must not be given in mode SNI_ONLY"))
        }
        _ => Ok(pem),
    }
}
