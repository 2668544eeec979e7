//! Why the control API refuses a request.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::fault::FaultError;
use crate::iot::PlantError;
use muster_core::certificate::CertificateIdError;

/// Why the control API refuses a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    #[error("invalid request body: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("there is no {what} {name}")]
    Missing { what: &'static str, name: String },
    #[error(transparent)]
    Plant(#[from] PlantError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("the rate is {found} calls per second, but must be greater than 0")]
    Rate { found: f64 },
    #[error(transparent)]
    Id(#[from] CertificateIdError),
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(BTreeMap::from([("error", self.to_string())]))).into_response()
    }
}
