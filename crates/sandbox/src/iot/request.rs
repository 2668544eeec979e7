//! Parsing the parts of a request: path, query string and body.

use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::invalid;
use crate::answer::AwsError;
use muster_core::certificate::{CertificateId, CertificateIdError};

/// Parses the id at the end of a path.
pub(super) fn id(head: &Parts) -> Result<CertificateId, AwsError> {
    let last_segment = head.uri.path().rsplit('/').next().unwrap_or_default();
    last_segment.parse().map_err(|e: CertificateIdError| invalid(e.to_string()))
}

/// Parses the query string.
pub(super) fn query<T: DeserializeOwned>(head: &Parts) -> Result<T, AwsError> {
    let query = axum::extract::Query::try_from_uri(&head.uri).map_err(|e| invalid(e.body_text()))?;
    Ok(query.0)
}

/// Parses the JSON body.
pub(super) fn body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|e| invalid(e.to_string()))
}
