//! AWS IoT: the certificates of one account and region.

mod registry;

use std::borrow::Cow;

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::json;

pub use self::registry::RegisteredCertificate;
use self::registry::{Page, Registry};
use super::Settings;
use super::answer::{Answer, AwsError, Success};
use super::operation::Operation;
use crate::certificate::{Certificate, CertificateId, CertificateIdError};
use crate::job::CertificateStatus;

/// AWS IoT's control plane.
pub(super) struct Iot {
    account: String,
    region: String,
    registry: Registry,
}

/// The body of RegisterCertificate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration<'a> {
    #[serde(borrow)]
    certificate_pem: Cow<'a, str>,
    status: Option<CertificateStatus>,
}

/// The query of a list call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    page_size: Option<usize>,
    marker: Option<usize>,
    #[serde(default)]
    is_ascending_order: bool,
}

/// Most certificates of one listed page.
const PAGE_MAX: usize = 250;

/// Certificates of a listed page where the caller does not say.
const PAGE_DEFAULT: usize = 25;

impl Iot {
    pub(super) fn new(settings: &Settings) -> Self {
        let (account, region) = (settings.account.clone(), settings.region.clone());
        Self { account, region, registry: Registry::new(settings.keep_pem) }
    }

    /// Answers one IoT operation.
    pub(super) fn answer(&self, operation: Operation, head: &Parts, body: &[u8]) -> Answer {
        let last_segment = head.uri.path().rsplit('/').next().unwrap_or_default();
        match operation {
            Operation::RegisterCertificate => self.register_certificate(body),
            Operation::DescribeCertificate => self.describe_certificate(last_segment),
            Operation::ListCertificates => self.list_certificates(head),
            Operation::GetRegistrationCode => Ok(self.registration_code()),
            _ => Err(AwsError::new(404, "UnknownOperationException", format!("no operation {operation}"))),
        }
    }

    fn register_certificate(&self, body: &[u8]) -> Answer {
        let request: Registration = serde_json::from_slice(body).map_err(|e| invalid(e.to_string()))?;
        let certificate = Certificate::from_pem(&request.certificate_pem)
            .map_err(|e| AwsError::new(400, "CertificateValidationException", e.to_string()))?;
        let status = request.status.unwrap_or(CertificateStatus::Inactive);
        let id = certificate.id();
        if !self.registry.register(&certificate, status) {
            return Err(self.already_exists(id));
        }
        let mut success = Success::json(&json!({ "certificateArn": self.arn("cert", id), "certificateId": id }));
        success.certificate = Some(id);
        Ok(success)
    }

    fn already_exists(&self, id: CertificateId) -> AwsError {
        let message = "The certificate is already provisioned or registered.";
        let resource = Some(Box::new((id, self.arn("cert", id))));
        AwsError { resource, ..AwsError::new(409, "ResourceAlreadyExistsException", message) }
    }

    fn describe_certificate(&self, id: &str) -> Answer {
        let missing = || AwsError::new(404, "ResourceNotFoundException", format!("Certificate {id} not found"));
        let parsed = id.parse().map_err(|e: CertificateIdError| invalid(e.to_string()))?;
        let (certificate, pem) = self.registry.find(parsed).ok_or_else(missing)?;
        let created = unix_seconds(&certificate);
        let mut description = json!({
            "certificateArn": self.arn("cert", certificate.id),
            "certificateId": id,
            "status": certificate.status,
            "ownedBy": self.account,
            "creationDate": created,
            "lastModifiedDate": created,
            "customerVersion": 1,
            "certificateMode": "DEFAULT",
        });
        if let Some(pem) = pem {
            description["certificatePem"] = pem.into();
        }
        let mut success = Success::json(&json!({ "certificateDescription": description }));
        success.certificate = Some(certificate.id);
        Ok(success)
    }

    fn list_certificates(&self, head: &Parts) -> Answer {
        let query: axum::extract::Query<ListQuery> =
            axum::extract::Query::try_from_uri(&head.uri).map_err(|e| invalid(e.body_text()))?;
        let size = query.page_size.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&size) {
            return Err(invalid(format!("pageSize {size} is not between 1 and {PAGE_MAX}")));
        }
        let page = Page { size, after: query.marker.unwrap_or(0), ascending: query.is_ascending_order };
        let (certificates, next) = self.registry.page(&page);
        let certificates: Vec<_> = certificates
            .iter()
            .map(|certificate| {
                json!({
                    "certificateArn": self.arn("cert", certificate.id),
                    "certificateId": certificate.id,
                    "status": certificate.status,
                    "certificateMode": "DEFAULT",
                    "creationDate": unix_seconds(certificate),
                })
            })
            .collect();
        Ok(Success::json(&json!({ "certificates": certificates, "nextMarker": next.map(|n| n.to_string()) })))
    }

    /// The code is one of the account: the same at every call and in every life of a sandbox.
    fn registration_code(&self) -> Success {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.account.as_bytes());
        Success::json(&json!({ "registrationCode": hex::encode(digest) }))
    }

    fn arn(&self, kind: &str, id: CertificateId) -> String {
        format!("arn:aws:iot:{}:{}:{kind}/{id}", self.region, self.account)
    }

    /// The device certificates, oldest first.
    pub(super) fn certificates(&self) -> Vec<RegisteredCertificate> {
        self.registry.page(&Page { size: usize::MAX, after: 0, ascending: true }).0
    }

    /// The device certificate with this id.
    pub(super) fn certificate(&self, id: CertificateId) -> Option<RegisteredCertificate> {
        self.registry.find(id).map(|(certificate, _)| certificate)
    }

    /// How many device certificates there are.
    pub(super) fn n_certificates(&self) -> usize {
        self.registry.len()
    }
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequestException", message)
}

/// Seconds since 1970 with milliseconds: restJson's form of a time.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay far below 2^52")]
fn unix_seconds(certificate: &RegisteredCertificate) -> f64 {
    (certificate.registered_at.unix_timestamp_nanos() / 1_000_000) as f64 / 1_000.0
}
