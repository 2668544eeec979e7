//! What the sandbox has seen, to be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::State;
use crate::calls::Call;
use crate::iot::RegisteredCertificate;
use crate::ledger::{Ledger, Summary};
use crate::operation::Operation;
use crate::sqs::QueueCounts;

/// A part of a list.
#[derive(Deserialize)]
pub(super) struct Part {
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
pub(super) struct Overview {
    operations: BTreeMap<Operation, Summary>,
    certificates: usize,
    cas: usize,
    queues: BTreeMap<String, QueueCounts>,
}

pub(super) async fn ledger(Shared(state): Shared<Arc<State>>) -> Json<Overview> {
    let ledger = Ledger::new(&state);
    Json(Overview {
        operations: ledger.summaries(),
        certificates: ledger.n_certificates(),
        cas: ledger.n_authorities(),
        queues: ledger.queues(),
    })
}

pub(super) async fn calls(Shared(state): Shared<Arc<State>>, Query(part): Query<Part>) -> Json<Vec<Call>> {
    Json(Ledger::new(&state).calls_from(part.skip, part.limit))
}

pub(super) async fn certificates(
    Shared(state): Shared<Arc<State>>,
    Query(part): Query<Part>,
) -> Json<Vec<RegisteredCertificate>> {
    Json(state.iot.certificates(part.skip, part.limit))
}

pub(super) async fn queues(Shared(state): Shared<Arc<State>>) -> Json<BTreeMap<String, QueueCounts>> {
    Json(Ledger::new(&state).queues())
}

pub(super) async fn deleted(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<Vec<String>>, ControlError> {
    let ids = Ledger::new(&state).deleted_messages(&name, part.skip, part.limit);
    ids.map(Json).ok_or(ControlError::Missing { what: "queue", name })
}
