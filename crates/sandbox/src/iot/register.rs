//! RegisterCertificate, with its checks in AWS's order.
//!
//! The order is: pending status; PEM; whether the named CA is registered; issuer name equals CA subject; signature;
//! whether the CA is active; duplicate. It was measured on AWS by others and published. Key, algorithm and validity are
//! checked with the PEM.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::request::Parts;
use serde::Deserialize;
use time::OffsetDateTime;

use super::authorities::CaState;
use super::error::{not_valid, wrong_state};
use super::{Iot, RegisteredCertificate, request, rules};
use crate::answer::{AwsError, Reply};
use crate::fault::Strike;
use muster_core::certificate::{Certificate, Verification};
use muster_core::job::CertificateStatus;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest<'a> {
    #[serde(borrow)]
    certificate_pem: Cow<'a, str>,
    #[serde(borrow)]
    ca_certificate_pem: Option<Cow<'a, str>>,
    status: Option<CertificateStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterQuery {
    #[serde(default)]
    set_as_active: bool,
}

impl Iot {
    pub(super) fn register_certificate(&self, head: &Parts, body: &[u8], strike: &Strike) -> Reply {
        let call: RegisterRequest = request::body(body)?;
        let status = wanted_status(head, call.status)?;
        let leaf = rules::read("certificatePem", &call.certificate_pem, OffsetDateTime::now_utc())?;
        let ca = self.issuer_of(&leaf, call.ca_certificate_pem.as_deref())?;
        check_issued(&leaf, &ca)?;
        let row = RegisteredCertificate::now(leaf.id(), status, ca.registered.mode, Some(ca.registered.id));
        self.add(row, &leaf, strike)
    }

    /// Finds the registered CA named by the caller, or the only one whose subject is the issuer's name if none is
    /// named.
    fn issuer_of(&self, leaf: &Certificate, ca_pem: Option<&str>) -> Result<Arc<CaState>, AwsError> {
        let unregistered = || wrong_state("The CA certificate is not registered");
        if let Some(pem) = ca_pem {
            rules::check_length("caCertificatePem", pem, rules::PEM_CHARS)?;
            let ca = Certificate::from_pem(pem).map_err(|e| not_valid(format!("caCertificatePem: {e}")))?;
            return self.authorities.find(ca.id()).ok_or_else(unregistered);
        }
        let mut candidates = self.authorities.with_subject_of_issuer(leaf);
        if candidates.len() > 1 {
            let message = format!("{} CA certificates share the subject {}", candidates.len(), leaf.issuer());
            return Err(AwsError::new(409, "CertificateConflictException", message));
        }
        candidates.pop().ok_or_else(unregistered)
    }
}

/// Checks that the CA issued the certificate and is active.
fn check_issued(leaf: &Certificate, ca: &CaState) -> Result<(), AwsError> {
    if !leaf.names_as_issuer(ca.issuer.certificate()) {
        return Err(not_valid("The issuer of the certificate is not the subject of the CA certificate"));
    }
    // A signature that cannot be verified here passes: a gap in the sandbox must not cause a refusal.
    if ca.issuer.verify(leaf) == Verification::Bad {
        return Err(not_valid("The certificate is not signed by the CA certificate"));
    }
    if !ca.registered.is_active {
        return Err(wrong_state("The CA certificate is not active"));
    }
    Ok(())
}

/// Returns the status to register with. `status` overrides the older `setAsActive`.
fn wanted_status(head: &Parts, status: Option<CertificateStatus>) -> Result<CertificateStatus, AwsError> {
    let RegisterQuery { set_as_active } = request::query(head)?;
    let default = if set_as_active { CertificateStatus::Active } else { CertificateStatus::Inactive };
    rules::settable(status.unwrap_or(default))
}
