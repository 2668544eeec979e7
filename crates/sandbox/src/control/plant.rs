//! Planting certificates, CAs and templates: they exist without an AWS call having created them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::SandboxState;
use muster_core::certificate::CertificateId;
use muster_core::job::CertificateStatus;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlantCertificate {
    certificate_pem: String,
    #[serde(default = "inactive")]
    status: CertificateStatus,
}

fn inactive() -> CertificateStatus {
    CertificateStatus::Inactive
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlantCa {
    ca_certificate: String,
    #[serde(default = "active")]
    active: bool,
}

fn active() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeCa {
    active: bool,
}

/// The id of what was planted, and whether it is new.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planted {
    certificate_id: CertificateId,
    is_new: bool,
}

pub(super) async fn plant_certificate(
    Shared(state): Shared<Arc<SandboxState>>,
    body: Bytes,
) -> Result<Json<Planted>, ControlError> {
    let plant: PlantCertificate = serde_json::from_slice(&body)?;
    let (certificate_id, is_new) = state.iot.plant_certificate(&plant.certificate_pem, plant.status)?;
    Ok(Json(Planted { certificate_id, is_new }))
}

pub(super) async fn plant_ca(
    Shared(state): Shared<Arc<SandboxState>>,
    body: Bytes,
) -> Result<Json<Planted>, ControlError> {
    let plant: PlantCa = serde_json::from_slice(&body)?;
    let (certificate_id, is_new) = state.iot.plant_ca(&plant.ca_certificate, plant.active)?;
    Ok(Json(Planted { certificate_id, is_new }))
}

pub(super) async fn change_ca(
    Shared(state): Shared<Arc<SandboxState>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let change: ChangeCa = serde_json::from_slice(&body)?;
    if state.iot.set_ca_active(id.parse()?, change.active) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "CA", name: id })
    }
}

pub(super) async fn add_template(Shared(state): Shared<Arc<SandboxState>>, Path(name): Path<String>) -> StatusCode {
    state.iot.add_template(name);
    StatusCode::NO_CONTENT
}
