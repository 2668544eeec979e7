//! Metrics and health over HTTP, on loopback unless the configuration says otherwise.
//!
//! `/livez` says that the process answers and depends on nothing else; `/readyz` says which check fails.

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

use crate::breakers::{BREAKER_LABELS, Breakers, Trouble};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::single_flight::{Known, Run, SingleFlight};
use crate::slots::Slots;
use crate::store::Store;

/// What the listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What is held.
    pub slots: Slots,
    /// What holds calls back.
    pub breakers: Breakers,
    /// The ledger, checked by `/readyz`.
    pub store: Store,
    /// The queue, checked by `/readyz`.
    pub queue: Queue,
    /// Says that the process stops.
    pub stop: CancellationToken,
    /// Looks at what is checked.
    pub checks: Arc<Checks>,
}

/// Looks at what `/readyz` depends on, each once at a time.
#[derive(Debug, Default)]
pub struct Checks {
    postgres: SingleFlight<Result<(), String>>,
    queue: SingleFlight<Result<(), String>>,
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
    let open = admin.breakers.open();
    for breaker in BREAKER_LABELS {
        let is_open = open.iter().any(|trouble| trouble.breaker == breaker);
        admin.metrics.breaker_open.with_label_values(&[breaker]).set(is_open.into());
    }
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
    let (store, queue) = (admin.store.clone(), admin.queue.clone());
    let text = |error: &dyn std::error::Error| error.to_string();
    let look =
        admin.checks.postgres.join(Duration::ZERO, || async move { store.ping().await.map_err(|error| text(&error)) });
    let ask = admin
        .checks
        .queue
        .join(Duration::ZERO, || async move { queue.attributes().await.map(drop).map_err(|error| text(&error)) });
    let (postgres, queue) = tokio::join!(outcome(look), outcome(ask));
    let stopping = admin.stop.is_cancelled();
    // Where only some jobs are held, others are served.
    let is_ready = postgres.is_ok() && queue.is_ok() && admin.breakers.is_usable() && !stopping;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let check = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let readiness =
        Readiness { postgres: check(postgres), queue: check(queue), stopping, breakers: admin.breakers.open() };
    (status, Json(readiness))
}

/// What a check found, soon enough for whoever asks: where it takes long, what is known of it.
async fn outcome(run: Run<Result<(), String>>) -> Result<(), String> {
    match run.wait(PATIENCE).await {
        Known::Outcome(outcome) => outcome,
        Known::Late { since, before } => {
            let before = before.and_then(Result::err).map(|error| format!("; before that: {error}"));
            Err(format!("no answer for {:.1}s{}", since.as_secs_f64(), before.unwrap_or_default()))
        }
    }
}
