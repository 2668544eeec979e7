//! RegisterCertificateWithoutCA.
//!
//! Checks, in order: pending status; PEM with key, algorithm and validity; duplicate. The issuer is not checked.

use std::borrow::Cow;

use serde::Deserialize;
use time::OffsetDateTime;

use super::{Iot, RegisteredCertificate, request, rules};
use crate::answer::Reply;
use crate::fault::Strike;
use muster_core::job::{CertificateMode, CertificateStatus};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterWithoutCaRequest<'a> {
    #[serde(borrow)]
    certificate_pem: Cow<'a, str>,
    status: Option<CertificateStatus>,
}

impl Iot {
    pub(super) fn register_certificate_without_ca(&self, body: &[u8], strike: &Strike) -> Reply {
        let call: RegisterWithoutCaRequest = request::body(body)?;
        let status = rules::settable(call.status.unwrap_or(CertificateStatus::Inactive))?;
        let leaf = rules::read("certificatePem", &call.certificate_pem, OffsetDateTime::now_utc())?;
        self.add(RegisteredCertificate::now(leaf.id(), status, CertificateMode::SniOnly, None), &leaf, strike)
    }
}
