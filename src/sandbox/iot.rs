//! AWS IoT: the certificates and CAs of one account and region.

mod authorities;
mod describe;
mod register;
mod register_ca;
mod registry;
mod rules;
mod subject;

use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::authorities::{Authorities, Refusal};
pub use self::registry::RegisteredCertificate;
use self::registry::{Page, Registry};
pub(super) use self::subject::certificate_of;
use super::Settings;
use super::answer::{Answer, AwsError};
use super::fault::{Strike, Twist};
use super::operation::Operation;
use crate::certificate::{Certificate, CertificateId, Issuer};
use crate::job::CertificateStatus;

/// AWS IoT's control plane.
pub(super) struct Iot {
    account: String,
    region: String,
    registry: Registry,
    authorities: Authorities,
}

/// How clients of a certificate must connect; a leaf inherits it from its CA.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateMode {
    /// The account is found by the CA, which only one account may have registered.
    #[default]
    Default,
    /// The account is found by the server name that the client sends.
    SniOnly,
}

/// Why a certificate cannot be planted.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The text holds no certificate.
    #[error(transparent)]
    Unreadable(#[from] crate::certificate::CertificateError),
    /// A CA that does not say that it is one.
    #[error(transparent)]
    NotACa(#[from] crate::certificate::IssuerError),
    /// An eleventh CA of one name.
    #[error("ten other CAs have the same subject, AWS takes no more")]
    TooManyOfOneName,
}

impl Iot {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            account: settings.account.clone(),
            region: settings.region.clone(),
            registry: Registry::new(settings.keep_pem),
            authorities: Authorities::default(),
        }
    }

    /// Answers one IoT operation.
    pub(super) fn answer(&self, operation: Operation, head: &Parts, body: &[u8], strike: &Strike) -> Answer {
        let last_segment = head.uri.path().rsplit('/').next().unwrap_or_default();
        match operation {
            Operation::RegisterCertificate => self.register_certificate(head, body, strike),
            Operation::RegisterCACertificate => self.register_ca_certificate(head, body, strike),
            Operation::DescribeCertificate => self.describe_certificate(last_segment),
            Operation::DescribeCACertificate => self.describe_ca_certificate(last_segment),
            Operation::ListCertificates => self.list_certificates(head),
            Operation::GetRegistrationCode => Ok(json!({ "registrationCode": self.registration_code() }).to_string()),
            _ => Err(AwsError::new(404, "UnknownOperationException", format!("no operation {operation}"))),
        }
    }

    /// Registers a certificate that AWS would not look at; false when it was there before.
    pub(super) fn plant_certificate(
        &self,
        pem: &str,
        status: CertificateStatus,
    ) -> Result<(CertificateId, bool), PlantError> {
        let certificate = Certificate::from_pem(pem)?;
        let row = RegisteredCertificate::now(certificate.id(), status, CertificateMode::Default, None);
        Ok((row.id, self.registry.register(row, certificate.der())))
    }

    /// Registers a CA without proof that one holds its key; false when it was there before.
    pub(super) fn plant_ca(&self, pem: &str, is_active: bool) -> Result<(CertificateId, bool), PlantError> {
        let issuer = Issuer::new(Certificate::from_pem(pem)?)?;
        let id = issuer.certificate().id();
        match self.authorities.register(issuer, is_active, CertificateMode::Default) {
            Ok(()) => Ok((id, true)),
            Err(Refusal::AlreadyThere) => Ok((id, false)),
            Err(Refusal::TooManyOfOneName) => Err(PlantError::TooManyOfOneName),
        }
    }

    /// Activates or deactivates a CA; false when there is none with this id.
    pub(super) fn set_ca_active(&self, id: CertificateId, is_active: bool) -> bool {
        self.authorities.set_active(id, is_active)
    }

    /// At most `limit` device certificates from the `skip`-th on, oldest first.
    pub(super) fn certificates(&self, skip: usize, limit: usize) -> Vec<RegisteredCertificate> {
        self.registry.page(&Page { size: limit, after: skip, ascending: true }).0
    }

    /// The device certificate with this id.
    pub(super) fn certificate(&self, id: CertificateId) -> Option<RegisteredCertificate> {
        self.registry.find(id).map(|(certificate, _)| certificate)
    }

    /// How many device certificates there are.
    pub(super) fn n_certificates(&self) -> usize {
        self.registry.len()
    }

    /// The account's registration code: the same at every call and in every life of a sandbox.
    fn registration_code(&self) -> String {
        CertificateId::of_der(self.account.as_bytes()).to_string()
    }

    fn arn(&self, kind: &str, id: CertificateId) -> String {
        format!("arn:aws:iot:{}:{}:{kind}/{id}", self.region, self.account)
    }

    /// What both register calls answer when all went well.
    fn registered(&self, kind: &str, id: CertificateId, strike: &Strike) -> String {
        let id = if strike.twist == Some(Twist::WrongId) { CertificateId::of_der(&id.0) } else { id };
        json!({ "certificateArn": self.arn(kind, id), "certificateId": id }).to_string()
    }

    fn already_exists(&self, kind: &str, id: CertificateId) -> AwsError {
        let message = "The certificate is already provisioned or registered.";
        let resource = Some(Box::new((id, self.arn(kind, id))));
        AwsError { resource, ..AwsError::new(409, "ResourceAlreadyExistsException", message) }
    }
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequestException", message)
}

fn not_valid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "CertificateValidationException", message)
}

fn wrong_state(message: impl Into<String>) -> AwsError {
    AwsError::new(406, "CertificateStateException", message)
}

/// Reads the query of a request.
fn query<T: DeserializeOwned>(head: &Parts) -> Result<T, AwsError> {
    let query = axum::extract::Query::try_from_uri(&head.uri).map_err(|e| invalid(e.body_text()))?;
    Ok(query.0)
}
