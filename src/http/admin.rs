//! Metrics and health over HTTP, on loopback unless the configuration says otherwise.
//!
//! `/livez` says that the process answers and depends on nothing else; `/readyz` says which check fails.

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
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use muster_core::trouble::BREAKER_LABELS;

use crate::aws::queue::Queue;
use crate::engine::slots::Slots;
use crate::health::board::Board;
use crate::ledger::Ledger;
use crate::runtime::shared_call::{RunResult, SharedCall};
use crate::telemetry::metrics::Metrics;
use muster_core::format::span;
use muster_core::trouble::Trouble;

/// What the listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What is held.
    pub slots: Slots,
    /// What holds calls back.
    pub board: Board,
    /// The ledger, checked by `/readyz`.
    pub ledger: Ledger,
    /// The queue, checked by `/readyz`.
    pub queue: Queue,
    /// Says that the process stops.
    pub stop: CancellationToken,
    /// The checks of `/readyz`.
    pub checks: Arc<Checks>,
}

/// The checks of what `/readyz` depends on, each at most once at a time.
#[derive(Debug, Default)]
pub struct Checks {
    postgres: SharedCall<Result<(), String>>,
    queue: SharedCall<Result<(), String>>,
}

/// Longest that `/readyz` waits for a check.
const PATIENCE: Duration = Duration::from_millis(800);

/// A listener that is bound.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address is taken or may not be used.
    pub async fn bind(self, address: SocketAddr) -> io::Result<Listening> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(self);
        Ok(Listening { listener: TcpListener::bind(address).await?, router })
    }
}

impl Listening {
    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for ever.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn run(self) -> io::Result<()> {
        axum::serve(self.listener, self.router).await
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

/// The checks of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    postgres: String,
    queue: String,
    stopping: bool,
    /// Everything that holds calls back.
    breakers: Vec<Trouble>,
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let (ledger, queue) = (admin.ledger.clone(), admin.queue.clone());
    let (postgres, queue) = tokio::join!(
        check(&admin.checks.postgres, async move { ledger.probe().await }),
        check(&admin.checks.queue, async move { queue.attributes().await.map(drop) }),
    );
    let stopping = admin.stop.is_cancelled();
    // Where only some jobs are held, others are served.
    let is_ready = postgres.is_ok() && queue.is_ok() && admin.board.is_usable() && !stopping;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let readiness = Readiness { postgres: text(postgres), queue: text(queue), stopping, breakers: admin.board.open() };
    (status, Json(readiness))
}

/// Makes a check unless it is under way, and returns what it finds, or what is known of it where that takes long.
async fn check<E: Display>(
    flight: &SharedCall<Result<(), String>>,
    look: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Result<(), String> {
    let run = flight.join(Duration::ZERO, || async move { look.await.map_err(|error| error.to_string()) });
    match run.wait(PATIENCE).await {
        RunResult::Outcome(outcome) => outcome,
        RunResult::Late { since, before } => {
            let before = before.and_then(Result::err).map(|error| format!("; before that: {error}"));
            Err(format!("no answer for {}{}", span(since), before.unwrap_or_default()))
        }
    }
}
