//! The describe operations for certificates and CAs.

use axum::http::request::Parts;
use serde_json::json;

use super::authorities::CaState;
use super::error::no_certificate;
use super::{Iot, request, unix_seconds};
use crate::answer::Reply;
use muster_core::certificate::sha256;

impl Iot {
    pub(super) fn describe_certificate(&self, head: &Parts) -> Reply {
        let id = request::id(head)?;
        let entry = self.registry.find(id).ok_or_else(|| no_certificate(id))?;
        let certificate = entry.certificate;
        let mut description = json!({
            "certificateArn": self.arn("cert", id),
            "certificateId": id,
            "status": certificate.status,
            "certificateMode": certificate.mode,
            "ownedBy": self.account,
            "creationDate": unix_seconds(certificate.registered_at),
            "lastModifiedDate": unix_seconds(entry.modified_at),
            "customerVersion": entry.version,
        });
        if let Some(ca) = certificate.ca {
            description["caCertificateId"] = json!(ca);
        }
        if let Some(pem) = entry.pem() {
            description["certificatePem"] = pem.into();
        }
        Ok(json!({ "certificateDescription": description }).to_string())
    }

    pub(super) fn describe_ca_certificate(&self, head: &Parts) -> Reply {
        let id = request::id(head)?;
        let ca = self.authorities.find(id).ok_or_else(|| no_certificate(id))?;
        let (certificate, registered) = (ca.issuer.certificate(), &ca.registered);
        let mut answer = json!({ "certificateDescription": {
            "certificateArn": self.arn("cacert", id),
            "certificateId": id,
            "status": ca.status(),
            "certificatePem": certificate.to_pem(),
            "certificateMode": registered.mode,
            "autoRegistrationStatus": if registered.auto_registration { "ENABLE" } else { "DISABLE" },
            "ownedBy": self.account,
            "creationDate": unix_seconds(registered.registered_at),
            "lastModifiedDate": unix_seconds(ca.modified_at),
            "customerVersion": ca.version,
            "generationId": generation(&ca),
            "validity": {
                "notBefore": unix_seconds(certificate.not_before()),
                "notAfter": unix_seconds(certificate.not_after()),
            },
        }});
        if let Some(config) = &registered.registration_config {
            answer["registrationConfig"] = json!(config);
        }
        Ok(answer.to_string())
    }
}

/// Returns an id that distinguishes this registration of a CA from a later one after a delete.
fn generation(ca: &CaState) -> String {
    hex::encode(sha256(&ca.registered.registered_at.unix_timestamp_nanos().to_be_bytes()))
}
