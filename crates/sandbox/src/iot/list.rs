//! The list operations for certificates and CAs, page by page.

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorities::CaState;
use super::error::invalid;
use super::registration_config::check_name;
use super::rows::RowRange;
use super::{Iot, RegisteredCertificate, request, unix_seconds};
use crate::answer::{AwsError, Reply};
use muster_core::certificate::CertificateId;

/// Maximum number of certificates per page, as in AWS.
const PAGE_MAX: usize = 250;

/// Certificates per page if the caller does not specify `pageSize`, as in AWS.
const PAGE_DEFAULT: usize = 25;

/// The query string of a list call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    page_size: Option<usize>,
    marker: Option<u64>,
    #[serde(default)]
    is_ascending_order: bool,
    template_name: Option<String>,
}

impl ListQuery {
    fn page(&self) -> Result<RowRange, AwsError> {
        let size = self.page_size.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&size) {
            return Err(invalid(format!("pageSize {size} is not between 1 and {PAGE_MAX}")));
        }
        Ok(RowRange { size, after: self.marker, is_ascending: self.is_ascending_order })
    }
}

impl Iot {
    pub(super) fn list_certificates(&self, head: &Parts) -> Reply {
        self.list_devices(head, None)
    }

    pub(super) fn list_certificates_by_ca(&self, head: &Parts) -> Reply {
        self.list_devices(head, Some(request::id(head)?))
    }

    fn list_devices(&self, head: &Parts, ca: Option<CertificateId>) -> Reply {
        let query: ListQuery = request::query(head)?;
        let (certificates, next) = self.registry.page(&query.page()?, ca);
        Ok(listed(certificates.iter().map(|certificate| self.listed_certificate(certificate)), next))
    }

    pub(super) fn list_ca_certificates(&self, head: &Parts) -> Reply {
        let query: ListQuery = request::query(head)?;
        query.template_name.as_deref().map_or(Ok(()), check_name)?;
        let (authorities, next) = self.authorities.page(&query.page()?, query.template_name.as_deref());
        Ok(listed(authorities.iter().map(|authority| self.listed_authority(authority)), next))
    }

    fn listed_certificate(&self, certificate: &RegisteredCertificate) -> Value {
        json!({
            "certificateArn": self.arn("cert", certificate.id),
            "certificateId": certificate.id,
            "status": certificate.status,
            "certificateMode": certificate.mode,
            "creationDate": unix_seconds(certificate.registered_at),
        })
    }

    fn listed_authority(&self, authority: &CaState) -> Value {
        let registered = &authority.registered;
        json!({
            "certificateArn": self.arn("cacert", registered.id),
            "certificateId": registered.id,
            "status": authority.status(),
            "creationDate": unix_seconds(registered.registered_at),
        })
    }
}

fn listed(certificates: impl Iterator<Item = Value>, next: Option<u64>) -> String {
    let mut answer = json!({ "certificates": certificates.collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["nextMarker"] = next.to_string().into();
    }
    answer.to_string()
}
