//! Trouble on request: rates, faults, expired sessions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use serde::Deserialize;

use super::error::ControlError;
use crate::SandboxState;
use crate::fault::{ActiveFault, FaultId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRate {
    rate: f64,
}

pub(super) async fn set_rate(
    Shared(state): Shared<Arc<SandboxState>>,
    Path(operation): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let missing = |_| ControlError::Missing { what: "operation", name: operation.clone() };
    let SetRate { rate } = serde_json::from_slice(&body)?;
    if !(rate.is_finite() && rate > 0.0) {
        return Err(ControlError::Rate { found: rate });
    }
    state.buckets.set_rate(operation.parse().map_err(missing)?, rate, Instant::now());
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn faults(Shared(state): Shared<Arc<SandboxState>>) -> Json<Vec<ActiveFault>> {
    Json(state.faults.list())
}

pub(super) async fn set_fault(
    Shared(state): Shared<Arc<SandboxState>>,
    body: Bytes,
) -> Result<Json<BTreeMap<&'static str, FaultId>>, ControlError> {
    Ok(Json([("id", state.faults.set(serde_json::from_slice(&body)?)?)].into()))
}

pub(super) async fn clear_faults(Shared(state): Shared<Arc<SandboxState>>) -> StatusCode {
    state.faults.clear_all();
    StatusCode::NO_CONTENT
}

pub(super) async fn clear_fault(
    Shared(state): Shared<Arc<SandboxState>>,
    Path(id): Path<FaultId>,
) -> Result<StatusCode, ControlError> {
    if state.faults.clear(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "fault", name: id.to_string() })
    }
}

pub(super) async fn expire_sessions(Shared(state): Shared<Arc<SandboxState>>) -> StatusCode {
    state.sts.expire_sessions();
    StatusCode::NO_CONTENT
}
