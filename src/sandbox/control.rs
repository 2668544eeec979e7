//! The control interface below `/_sandbox/`: read the ledger, plant certificates and CAs, set rates and faults.
//!
//! JSON over HTTP, described in docs/sandbox.md. Its calls are not AWS calls: no quota, no faults, no ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::State;
use super::calls::Call;
use super::fault::{ActiveFault, FaultError, FaultId};
use super::iot::{PlantError, RegisteredCertificate};
use super::ledger::{Ledger, Summary};
use super::operation::Operation;
use super::sqs::QueueCounts;
use crate::certificate::{CertificateId, CertificateIdError};
use crate::job::CertificateStatus;

/// What every path of the control interface begins with.
pub(super) const PREFIX: &str = "/_sandbox/";

/// The routes of the control interface.
pub(super) fn router(state: &Arc<State>) -> Router {
    Router::new()
        .route("/_sandbox/ledger", get(ledger))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/certificates", get(certificates).post(plant_certificate))
        .route("/_sandbox/cas", post(plant_ca))
        .route("/_sandbox/cas/{id}", put(change_ca))
        .route("/_sandbox/queues", get(queues))
        .route("/_sandbox/queues/{name}/deleted", get(deleted))
        .route("/_sandbox/rates/{operation}", put(set_rate))
        .route("/_sandbox/faults", get(faults).post(set_fault).delete(clear_faults))
        .route("/_sandbox/faults/{id}", delete(clear_fault))
        .route("/_sandbox/sessions", delete(expire_sessions))
        .with_state(Arc::clone(state))
}

/// Why a request of the control interface is not answered.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("the body is not what is wanted here: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("there is no {what} {name}")]
    Missing { what: &'static str, name: String },
    #[error(transparent)]
    Plant(#[from] PlantError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("the rate is {found} calls a second, wanted is more than 0")]
    Rate { found: f64 },
    #[error(transparent)]
    Id(#[from] CertificateIdError),
}

/// A part of a list.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    skip: usize,
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    1_000
}

/// Everything, summed up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    operations: BTreeMap<Operation, Summary>,
    certificates: usize,
    queues: BTreeMap<String, QueueCounts>,
}

async fn ledger(Shared(state): Shared<Arc<State>>) -> Json<Overview> {
    let ledger = Ledger::new(&state);
    Json(Overview { operations: ledger.summaries(), certificates: ledger.n_certificates(), queues: ledger.queues() })
}

async fn calls(Shared(state): Shared<Arc<State>>, Query(part): Query<Part>) -> Json<Vec<Call>> {
    Json(Ledger::new(&state).calls_from(part.skip, part.limit))
}

async fn certificates(Shared(state): Shared<Arc<State>>, Query(part): Query<Part>) -> Json<Vec<RegisteredCertificate>> {
    Json(state.iot.certificates(part.skip, part.limit))
}

async fn queues(Shared(state): Shared<Arc<State>>) -> Json<BTreeMap<String, QueueCounts>> {
    Json(Ledger::new(&state).queues())
}

async fn deleted(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<Vec<String>>, ControlError> {
    let ids = Ledger::new(&state).deleted_messages(&name, part.skip, part.limit);
    ids.map(Json).ok_or(ControlError::Missing { what: "queue", name })
}

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

/// What was planted, and whether it was not there before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planted {
    certificate_id: CertificateId,
    is_new: bool,
}

async fn plant_certificate(Shared(state): Shared<Arc<State>>, body: Bytes) -> Result<Json<Planted>, ControlError> {
    let plant: PlantCertificate = read(&body)?;
    let (certificate_id, is_new) = state.iot.plant_certificate(&plant.certificate_pem, plant.status)?;
    Ok(Json(Planted { certificate_id, is_new }))
}

async fn plant_ca(Shared(state): Shared<Arc<State>>, body: Bytes) -> Result<Json<Planted>, ControlError> {
    let plant: PlantCa = read(&body)?;
    let (certificate_id, is_new) = state.iot.plant_ca(&plant.ca_certificate, plant.active)?;
    Ok(Json(Planted { certificate_id, is_new }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeCa {
    active: bool,
}

async fn change_ca(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let change: ChangeCa = read(&body)?;
    if state.iot.set_ca_active(id.parse()?, change.active) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "CA", name: id })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRate {
    rate: f64,
}

async fn set_rate(
    Shared(state): Shared<Arc<State>>,
    Path(operation): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let missing = |_| ControlError::Missing { what: "operation", name: operation.clone() };
    let SetRate { rate } = read(&body)?;
    if !(rate.is_finite() && rate > 0.0) {
        return Err(ControlError::Rate { found: rate });
    }
    state.buckets.set_rate(operation.parse().map_err(missing)?, rate, Instant::now());
    Ok(StatusCode::NO_CONTENT)
}

async fn faults(Shared(state): Shared<Arc<State>>) -> Json<Vec<ActiveFault>> {
    Json(state.faults.list())
}

async fn set_fault(
    Shared(state): Shared<Arc<State>>,
    body: Bytes,
) -> Result<Json<BTreeMap<&'static str, FaultId>>, ControlError> {
    Ok(Json([("id", state.faults.set(read(&body)?)?)].into()))
}

async fn clear_faults(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.faults.clear_all();
    StatusCode::NO_CONTENT
}

async fn clear_fault(Shared(state): Shared<Arc<State>>, Path(id): Path<FaultId>) -> Result<StatusCode, ControlError> {
    if state.faults.clear(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "fault", name: id.to_string() })
    }
}

async fn expire_sessions(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.sts.expire_sessions();
    StatusCode::NO_CONTENT
}

/// Reads a body as JSON, whatever its content type says.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    Ok(serde_json::from_slice(body)?)
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
