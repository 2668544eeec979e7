//! What is registered, described one by one and listed in pages.

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::registry::Page;
use super::{Iot, RegisteredCertificate, invalid, query};
use crate::certificate::{CertificateId, CertificateIdError};
use crate::sandbox::answer::{Answer, AwsError};

/// Most certificates of one listed page.
const PAGE_MAX: usize = 250;

/// Certificates of a listed page where the caller does not say.
const PAGE_DEFAULT: usize = 25;

/// The query of a list call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    page_size: Option<usize>,
    marker: Option<usize>,
    #[serde(default)]
    is_ascending_order: bool,
}

impl Iot {
    pub(super) fn describe_certificate(&self, id: &str) -> Answer {
        let id = parse_id(id)?;
        let (certificate, pem) = self.registry.find(id).ok_or_else(|| not_found(id))?;
        let registered = unix_seconds(certificate.registered_at);
        let mut description = json!({
            "certificateArn": self.arn("cert", id),
            "certificateId": id,
            "status": certificate.status,
            "certificateMode": certificate.mode,
            "ownedBy": self.account,
            "creationDate": registered,
            "lastModifiedDate": registered,
            "customerVersion": 1,
        });
        if let Some(ca) = certificate.ca {
            description["caCertificateId"] = json!(ca);
        }
        if let Some(pem) = pem {
            description["certificatePem"] = pem.into();
        }
        Ok(json!({ "certificateDescription": description }).to_string())
    }

    pub(super) fn describe_ca_certificate(&self, id: &str) -> Answer {
        let id = parse_id(id)?;
        let ca = self.authorities.find(id).ok_or_else(|| not_found(id))?;
        let certificate = ca.issuer.certificate();
        let registered = unix_seconds(ca.registered_at);
        let description = json!({
            "certificateArn": self.arn("cacert", id),
            "certificateId": id,
            "status": if ca.is_active { "ACTIVE" } else { "INACTIVE" },
            "certificatePem": certificate.to_pem(),
            "certificateMode": ca.mode,
            "autoRegistrationStatus": "DISABLE",
            "ownedBy": self.account,
            "creationDate": registered,
            "lastModifiedDate": registered,
            "customerVersion": 1,
            "validity": {
                "notBefore": unix_seconds(certificate.not_before()),
                "notAfter": unix_seconds(certificate.not_after()),
            },
        });
        Ok(json!({ "certificateDescription": description }).to_string())
    }

    pub(super) fn list_certificates(&self, head: &Parts) -> Answer {
        let query: ListQuery = query(head)?;
        let size = query.page_size.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&size) {
            return Err(invalid(format!("pageSize {size} is not between 1 and {PAGE_MAX}")));
        }
        let page = Page { size, after: query.marker.unwrap_or(0), ascending: query.is_ascending_order };
        let (certificates, next) = self.registry.page(&page);
        let certificates: Vec<_> = certificates.iter().map(|certificate| self.listed(certificate)).collect();
        let mut answer = json!({ "certificates": certificates });
        if let Some(next) = next {
            answer["nextMarker"] = next.to_string().into();
        }
        Ok(answer.to_string())
    }

    fn listed(&self, certificate: &RegisteredCertificate) -> serde_json::Value {
        json!({
            "certificateArn": self.arn("cert", certificate.id),
            "certificateId": certificate.id,
            "status": certificate.status,
            "certificateMode": certificate.mode,
            "creationDate": unix_seconds(certificate.registered_at),
        })
    }
}

fn parse_id(id: &str) -> Result<CertificateId, AwsError> {
    id.parse().map_err(|e: CertificateIdError| invalid(e.to_string()))
}

fn not_found(id: CertificateId) -> AwsError {
    AwsError::new(404, "ResourceNotFoundException", format!("The certificate {id} does not exist"))
}

/// Seconds since 1970 with milliseconds: restJson's form of a time.
#[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 9999 stay below 2^52")]
fn unix_seconds(time: OffsetDateTime) -> f64 {
    (time.unix_timestamp_nanos() / 1_000_000) as f64 / 1_000.0
}
