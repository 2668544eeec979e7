//! Finds the certificate that a call is about, for the call log; also for calls that are refused or never run.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::request::Parts;
use serde::Deserialize;

use crate::operation::ApiOperation;
use muster_core::certificate::{CertificateId, pem};

/// Returns the id of the certificate or CA that a call is about, if it can be determined.
pub(crate) fn certificate_of(operation: ApiOperation, head: &Parts, body: &[u8]) -> Option<CertificateId> {
    use ApiOperation as O;
    match operation {
        O::RegisterCertificate | O::RegisterCertificateWithoutCA | O::RegisterCACertificate => id_in(body),
        O::DescribeCertificate
        | O::UpdateCertificate
        | O::DeleteCertificate
        | O::ListCertificatesByCA
        | O::DescribeCACertificate
        | O::UpdateCACertificate
        | O::DeleteCACertificate => id_at_the_end(head.uri.path()),
        O::TagResource | O::UntagResource => serde_json::from_slice::<Resource>(body).ok()?.id(),
        O::ListTagsForResource => Query::<Resource>::try_from_uri(&head.uri).ok()?.0.id(),
        _ => None,
    }
}

/// The resource named by a call about tags.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource_arn: String,
}

impl Resource {
    fn id(&self) -> Option<CertificateId> {
        id_at_the_end(&self.resource_arn)
    }
}

fn id_at_the_end(text: &str) -> Option<CertificateId> {
    text.rsplit('/').next()?.parse().ok()
}

/// Returns the id of the first certificate in the body of a register call.
fn id_in(body: &[u8]) -> Option<CertificateId> {
    #[derive(Deserialize)]
    struct Subject<'a> {
        #[serde(borrow, alias = "caCertificate", rename = "certificatePem")]
        pem: Cow<'a, str>,
    }
    let Subject { pem } = serde_json::from_slice(body).ok()?;
    let der = pem::blocks(&pem).find(|block| block.kind == pem::BlockKind::Certificate)?.decode().ok()?;
    Some(CertificateId::of_der(&der))
}
