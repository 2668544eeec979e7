//! One call from its arrival to its answer: ledger, quota, execution, latency.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper::body::Incoming;

use super::State;
use super::answer::{self, Answer, AwsError};
use super::calls::{self, CallNumber, Completion};
use super::operation::{Operation, Service};
use super::sts;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(super) struct Hangup;

/// Most bytes of a request: a batch of 1 MiB in which every character is escaped.
const BODY_MAX: usize = 8 << 20;

/// Answers one AWS request.
///
/// # Errors
/// [`Hangup`] when no answer shall be given or the caller left.
pub(super) async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
    let (parts, body) = request.into_parts();
    let Some(operation) = Operation::of(&parts) else {
        return Ok(unknown_operation(&parts));
    };
    let (call, arrived) = state.calls.open(operation);
    let body = axum::body::to_bytes(Body::new(body), BODY_MAX).await.map_err(|_| Hangup)?;
    let admitted = state.buckets.admits(operation, arrived);
    let answer =
        if admitted { execute(state, operation, call, &parts, &body).await } else { Err(AwsError::throttled()) };
    state.calls.close(call, completion(&answer, admitted));
    if !state.settings.latency.is_zero() {
        tokio::time::sleep(state.settings.latency).await;
    }
    Ok(answer::write(operation.service(), &call.request_id(), answer))
}

/// Runs the operation. It runs before the latency, so a caller that gives up early has still changed something.
async fn execute(state: &Arc<State>, operation: Operation, call: CallNumber, head: &Parts, body: &Bytes) -> Answer {
    match operation.service() {
        Service::Iot => state.iot.answer(operation, head, body),
        Service::Sts => sts::get_caller_identity(&state.settings.account, &call.request_id(), body),
        Service::Sqs => state.sqs.answer(operation, head, body).await,
    }
}

fn completion(answer: &Answer, executed: bool) -> Completion {
    match answer {
        Ok(success) => Completion { answer: Cow::Borrowed(calls::OK), executed, certificate: success.certificate },
        Err(error) => Completion {
            answer: error.code.clone(),
            executed,
            certificate: error.resource.as_ref().map(|resource| resource.0),
        },
    }
}

/// What a path or target outside the sandbox gets, in the form of the service that it most likely meant.
fn unknown_operation(request: &Parts) -> Response<Body> {
    let service = if request.headers.contains_key("x-amz-target") { Service::Sqs } else { Service::Iot };
    let message = format!("the sandbox does not answer {} {}", request.method, request.uri.path());
    answer::write(
        service,
        "00000000-0000-4000-8000-ffffffffffff",
        Err(AwsError::new(404, "UnknownOperationException", message)),
    )
}
