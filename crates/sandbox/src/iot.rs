//! AWS IoT: the certificates and CAs of one account and region.

mod authorities;
mod change;
mod describe;
mod error;
mod list;
mod register;
mod register_ca;
mod register_without_ca;
mod registration_config;
mod registry;
mod request;
mod rows;
mod rules;
mod subject;
mod tags;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use serde_json::json;
use time::OffsetDateTime;

pub use self::authorities::RegisteredAuthority;
use self::authorities::{Authorities, CaState, Refusal};
pub use self::registration_config::ProvisioningConfig;
pub use self::registry::RegisteredCertificate;
use self::registry::Registry;
pub(super) use self::subject::certificate_of;
use super::answer::{AwsError, Reply};
use super::fault::{Strike, Twist};
use super::operation::ApiOperation;
use super::roles::Roles;
use super::settings::SandboxSettings;
use muster_core::certificate::{Certificate, CertificateId, Issuer};
use muster_core::job::{CertificateMode, CertificateStatus};

/// AWS IoT's control plane.
pub(super) struct Iot {
    account: String,
    region: String,
    registry: Registry,
    authorities: Authorities,
    templates: Mutex<BTreeSet<String>>,
    roles: Arc<Roles>,
}

/// Why a certificate cannot be planted.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The text holds no certificate.
    #[error(transparent)]
    Unreadable(#[from] muster_core::certificate::CertificateError),
    /// The certificate does not declare itself a CA.
    #[error(transparent)]
    NotACa(#[from] muster_core::certificate::IssuerError),
    /// The eleventh CA with the same subject.
    #[error("ten other CAs have the same subject, and AWS accepts no more")]
    TooManyOfOneSubject,
}

impl Iot {
    pub(super) fn new(settings: &SandboxSettings, roles: Arc<Roles>) -> Self {
        Self {
            account: settings.account.clone(),
            region: settings.region.clone(),
            registry: Registry::new(settings.keep_pem),
            authorities: Authorities::default(),
            templates: Mutex::new(settings.templates.iter().cloned().collect()),
            roles,
        }
    }

    /// Answers one IoT operation.
    pub(super) fn answer(&self, operation: ApiOperation, head: &Parts, body: &[u8], strike: &Strike) -> Reply {
        use ApiOperation as O;
        match operation {
            O::RegisterCertificate => self.register_certificate(head, body, strike),
            O::RegisterCertificateWithoutCA => self.register_certificate_without_ca(body, strike),
            O::RegisterCACertificate => self.register_ca_certificate(head, body, strike),
            O::DescribeCertificate => self.describe_certificate(head),
            O::UpdateCertificate => self.update_certificate(head),
            O::DeleteCertificate => self.delete_certificate(head),
            O::ListCertificates => self.list_certificates(head),
            O::ListCertificatesByCA => self.list_certificates_by_ca(head),
            O::DescribeCACertificate => self.describe_ca_certificate(head),
            O::UpdateCACertificate => self.update_ca_certificate(head, body),
            O::DeleteCACertificate => self.delete_ca_certificate(head),
            O::ListCACertificates => self.list_ca_certificates(head),
            O::TagResource => self.tag_resource(body),
            O::UntagResource => self.untag_resource(body),
            O::ListTagsForResource => self.list_tags(head),
            O::GetRegistrationCode => Ok(json!({ "registrationCode": self.registration_code() }).to_string()),
            _ => Err(AwsError::new(404, "UnknownOperationException", format!("no operation {operation}"))),
        }
    }

    /// Registers a certificate without any of AWS's checks; returns false if it was already registered.
    pub(super) fn plant_certificate(
        &self,
        pem: &str,
        status: CertificateStatus,
    ) -> Result<(CertificateId, bool), PlantError> {
        let certificate = Certificate::from_pem(pem)?;
        let row = RegisteredCertificate::now(certificate.id(), status, CertificateMode::Default, None);
        Ok((row.id, self.registry.register(row, certificate.der())))
    }

    /// Registers a CA without proof of its key; returns false if it was already registered.
    pub(super) fn plant_ca(&self, pem: &str, is_active: bool) -> Result<(CertificateId, bool), PlantError> {
        let issuer = Issuer::new(Certificate::from_pem(pem)?)?;
        let id = issuer.certificate().id();
        match self.authorities.register(CaState::now(issuer, is_active)) {
            Ok(()) => Ok((id, true)),
            Err(Refusal::AlreadyRegistered) => Ok((id, false)),
            Err(Refusal::TooManyOfOneSubject) => Err(PlantError::TooManyOfOneSubject),
        }
    }

    /// Activates or deactivates a CA; returns false if it does not exist.
    pub(super) fn set_ca_active(&self, id: CertificateId, is_active: bool) -> bool {
        self.authorities.change(id, |ca| ca.update(|ca| ca.is_active = is_active)).is_some()
    }

    /// Adds a provisioning template by name; it has no content.
    pub(super) fn add_template(&self, name: String) {
        self.templates().insert(name);
    }

    /// Returns at most `limit` device certificates, oldest first, skipping the first `skip`.
    pub(super) fn certificates(&self, skip: usize, limit: usize) -> Vec<RegisteredCertificate> {
        self.registry.slice(skip, limit)
    }

    /// Returns the device certificate with this id.
    pub(super) fn certificate(&self, id: CertificateId) -> Option<RegisteredCertificate> {
        self.registry.find(id).map(|entry| entry.certificate)
    }

    /// Returns the number of device certificates.
    pub(super) fn n_certificates(&self) -> usize {
        self.registry.len()
    }

    /// Returns the CA with this id.
    pub(super) fn authority(&self, id: CertificateId) -> Option<RegisteredAuthority> {
        self.authorities.find(id).map(|authority| authority.registered.clone())
    }

    /// Returns the number of CAs.
    pub(super) fn n_authorities(&self) -> usize {
        self.authorities.len()
    }

    /// Returns the account's registration code: always the same, in every sandbox with this account.
    pub(super) fn registration_code(&self) -> String {
        CertificateId::of_der(self.account.as_bytes()).to_string()
    }

    fn arn(&self, kind: &str, id: CertificateId) -> String {
        format!("arn:aws:iot:{}:{}:{kind}/{id}", self.region, self.account)
    }

    fn has_template(&self, name: &str) -> bool {
        self.templates().contains(name)
    }

    fn templates(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.templates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a device certificate that passed every check but the last one: whether it is already registered.
    fn add(&self, row: RegisteredCertificate, certificate: &Certificate, strike: &Strike) -> Reply {
        if self.registry.register(row, certificate.der()) {
            Ok(self.registered("cert", row.id, strike))
        } else {
            Err(self.already_exists("cert", row.id))
        }
    }

    /// Returns the answer of a successful register call.
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

/// Converts a time to restJson's format: seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 9999 stay below 2^52")]
fn unix_seconds(time: OffsetDateTime) -> f64 {
    (time.unix_timestamp_nanos() / 1_000_000) as f64 / 1_000.0
}
