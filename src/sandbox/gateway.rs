//! One call from its arrival to its answer: ledger, quota, faults, execution, latency.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper::body::Incoming;

use super::State;
use super::answer::{self, Answer, AwsError};
use super::calls::{CallNumber, Completion};
use super::fault::{Ending, Strike};
use super::iot::certificate_of;
use super::operation::{Operation, Service};
use super::sts;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(super) struct Hangup;

/// Most bytes of a request: a batch of 1 MiB in which every character is escaped.
pub(super) const BODY_MAX: usize = 8 << 20;

/// A call that has arrived.
struct Exchange<'a> {
    state: &'a State,
    operation: Operation,
    call: CallNumber,
    head: Parts,
    body: Bytes,
}

/// Answers one AWS request.
///
/// # Errors
/// [`Hangup`] when no answer shall be given or the caller left.
pub(super) async fn answer(state: &State, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
    let (head, body) = request.into_parts();
    let Some(operation) = Operation::of(&head) else {
        return Ok(unknown_operation(&head));
    };
    let (call, arrived) = state.calls.open(operation);
    let body = axum::body::to_bytes(Body::new(body), BODY_MAX).await.map_err(|_| Hangup)?;
    let strike = if state.buckets.admits(operation, arrived) {
        state.faults.draw(operation, arrived)
    } else {
        Strike::refusal(AwsError::throttled())
    };
    let latency = state.settings.latency + strike.latency;
    let ending = Exchange { state, operation, call, head, body }.run(strike).await;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match ending {
        Ending::Answer(answer) => Ok(answer::write(operation.service(), &call.request_id(), answer)),
        Ending::Reset => Err(Hangup),
        Ending::Hang => std::future::pending().await,
    }
}

impl Exchange<'_> {
    /// Runs the operation as far as the faults let it, and writes into the ledger how it ended.
    ///
    /// That is before the latency, so a caller that gives up early has still changed something.
    async fn run(&self, mut strike: Strike) -> Ending {
        let replacement = strike.ending.take();
        let answer = if strike.prevents { None } else { Some(self.execute(&strike).await) };
        let executed = answer.is_some();
        let ending =
            replacement.or(answer.map(Ending::Answer)).expect("only what replaces an answer prevents the operation");
        let certificate = certificate_of(self.operation, &self.head, &self.body);
        self.state.calls.close(self.call, Completion { answer: ending.name(), executed, certificate });
        ending
    }

    async fn execute(&self, strike: &Strike) -> Answer {
        let state = self.state;
        match self.operation.service() {
            Service::Iot => state.iot.answer(self.operation, &self.head, &self.body, strike),
            Service::Sts => sts::get_caller_identity(&state.settings.account, &self.call.request_id(), &self.body),
            Service::Sqs => state.sqs.answer(self.operation, &self.head, &self.body, strike).await,
        }
    }
}

/// What a path or target outside the sandbox gets, in the form of the service that it most likely meant.
fn unknown_operation(request: &Parts) -> Response<Body> {
    let service = if request.headers.contains_key("x-amz-target") { Service::Sqs } else { Service::Iot };
    let message = format!("the sandbox does not answer {} {}", request.method, request.uri.path());
    let error = AwsError::new(404, "UnknownOperationException", message);
    answer::write(service, "00000000-0000-4000-8000-ffffffffffff", Err(error))
}
