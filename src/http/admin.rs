//! Metrics and health over HTTP, on loopback by default.
//!
//! `/livez` reports that the process answers and depends on nothing else. `/readyz` checks Postgres and the queue and
//! reports which check fails.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use muster_core::trouble::BREAKER_LABELS;

use crate::aws::queue::Queue;
use crate::engine::slots::Slots;
use crate::health::board::Board;
use crate::http::listener::Listening;
use crate::ledger::Ledger;
use crate::runtime::shared_call::{RunResult, SharedCall};
use crate::telemetry::metrics::Metrics;
use muster_core::format::span;
use muster_core::trouble::Trouble;

/// The state that the listener exposes.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The slots of the jobs in flight.
    pub slots: Slots,
    /// The circuit breakers and holds of this worker.
    pub board: Board,
    /// The ledger, checked by `/readyz`.
    pub ledger: Ledger,
    /// The queue, checked by `/readyz`.
    pub queue: Queue,
    /// Cancelled when the process is stopping.
    pub stop: CancellationToken,
    /// The checks of `/readyz`.
    pub checks: Arc<Checks>,
}

/// The dependency checks of `/readyz`. Each runs at most once at a time (single-flight).
#[derive(Debug, Default)]
pub struct Checks {
    postgres: SharedCall<Result<(), String>>,
    queue: SharedCall<Result<(), String>>,
}

/// How long `/readyz` waits for a check. A slower check is reported as failed and continues in the background.
const PATIENCE: Duration = Duration::from_millis(800);

impl Admin {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address is in use or not permitted.
    pub async fn bind(self, address: SocketAddr) -> io::Result<Listening> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(self);
        Listening::bind(address, router, None).await
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    #[expect(clippy::cast_possible_wrap, reason = "slots are a few thousand at most")]
    for (stage, n) in admin.slots.by_stage() {
        admin.metrics.jobs_in_flight.with_label_values(&[<&str>::from(stage)]).set(n as i64);
    }
    admin.metrics.oldest_in_flight_age.set(admin.slots.oldest_age().as_secs_f64());
    let open = admin.board.open();
    for breaker in BREAKER_LABELS {
        let is_open = open.iter().any(|trouble| trouble.breaker == breaker);
        admin.metrics.breaker_open.with_label_values(&[breaker]).set(is_open.into());
    }
    admin.metrics.fleet.drop_stale();
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], admin.metrics.text())
}

/// The response body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    postgres: String,
    queue: String,
    stopping: bool,
    /// The open circuit breakers and holds.
    breakers: Vec<Trouble>,
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let (ledger, queue) = (admin.ledger.clone(), admin.queue.clone());
    let (postgres, queue) = tokio::join!(
        check(&admin.checks.postgres, async move { ledger.probe().await }),
        check(&admin.checks.queue, async move { queue.attributes().await.map(drop) }),
    );
    let stopping = admin.stop.is_cancelled();
    // A worker that holds only some jobs is ready: it still serves the others.
    let is_ready = postgres.is_ok() && queue.is_ok() && admin.board.is_usable() && !stopping;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let readiness = Readiness { postgres: text(postgres), queue: text(queue), stopping, breakers: admin.board.open() };
    (status, Json(readiness))
}

/// Runs a check, or joins the one in progress, and returns its result. After [`PATIENCE`], returns an error with the
/// elapsed time and the previous error, if any.
async fn check<E: Display>(
    flight: &SharedCall<Result<(), String>>,
    probe: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Result<(), String> {
    let run = flight.join(Duration::ZERO, || async move { probe.await.map_err(|error| error.to_string()) });
    match run.wait(PATIENCE).await {
        RunResult::Outcome(outcome) => outcome,
        RunResult::Late { since, before } => {
            let before = before.and_then(Result::err).map(|error| format!("; previous error: {error}"));
            Err(format!("no answer for {}{}", span(since), before.unwrap_or_default()))
        }
    }
}
