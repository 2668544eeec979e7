//! Reading what the sandbox has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::SandboxState;
use crate::calls::LoggedCall;
use crate::iot::RegisteredCertificate;
use crate::ledger::{CallLog, CallSummary};
use crate::operation::ApiOperation;
use crate::sqs::QueueCounts;

/// Which part of a list to return.
#[derive(Deserialize)]
pub(super) struct ListPart {
    #[serde(default)]
    skip: usize,
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    1_000
}

/// A summary of everything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    operations: BTreeMap<ApiOperation, CallSummary>,
    certificates: usize,
    cas: usize,
    queues: BTreeMap<String, QueueCounts>,
}

pub(super) async fn ledger(Shared(state): Shared<Arc<SandboxState>>) -> Json<Overview> {
    let ledger = CallLog::new(&state);
    Json(Overview {
        operations: ledger.summaries(),
        certificates: ledger.n_certificates(),
        cas: ledger.n_authorities(),
        queues: ledger.queues(),
    })
}

pub(super) async fn calls(
    Shared(state): Shared<Arc<SandboxState>>,
    Query(part): Query<ListPart>,
) -> Json<Vec<LoggedCall>> {
    Json(CallLog::new(&state).calls_from(part.skip, part.limit))
}

pub(super) async fn certificates(
    Shared(state): Shared<Arc<SandboxState>>,
    Query(part): Query<ListPart>,
) -> Json<Vec<RegisteredCertificate>> {
    Json(state.iot.certificates(part.skip, part.limit))
}

pub(super) async fn queues(Shared(state): Shared<Arc<SandboxState>>) -> Json<BTreeMap<String, QueueCounts>> {
    Json(CallLog::new(&state).queues())
}

pub(super) async fn deleted(
    Shared(state): Shared<Arc<SandboxState>>,
    Path(name): Path<String>,
    Query(part): Query<ListPart>,
) -> Result<Json<Vec<String>>, ControlError> {
    let ids = CallLog::new(&state).deleted_messages(&name, part.skip, part.limit);
    ids.map(Json).ok_or(ControlError::Missing { what: "queue", name })
}
