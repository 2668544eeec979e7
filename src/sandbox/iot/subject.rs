//! Which certificate a call is about, for the ledger; also of calls that are refused or never run.

use std::borrow::Cow;

use axum::http::request::Parts;
use serde::Deserialize;

use crate::certificate::{CertificateId, pem};
use crate::sandbox::operation::Operation;

/// The id of the certificate that a call is about, if that can be told.
pub(in crate::sandbox) fn certificate_of(operation: Operation, head: &Parts, body: &[u8]) -> Option<CertificateId> {
    match operation {
        Operation::RegisterCertificate | Operation::RegisterCACertificate => id_in(body),
        Operation::DescribeCertificate | Operation::DescribeCACertificate => {
            head.uri.path().rsplit('/').next()?.parse().ok()
        }
        _ => None,
    }
}

/// The id of the first certificate of a register call.
fn id_in(body: &[u8]) -> Option<CertificateId> {
    #[derive(Deserialize)]
    struct Subject<'a> {
        #[serde(borrow, alias = "caCertificate", rename = "certificatePem")]
        pem: Cow<'a, str>,
    }
    let Subject { pem } = serde_json::from_slice(body).ok()?;
    let der = pem::sections(&pem).find(pem::Section::is_certificate)?.decode().ok()?;
    Some(CertificateId::of_der(&der))
}
