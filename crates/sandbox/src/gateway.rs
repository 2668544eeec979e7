//! One call from arrival to answer: call log, authentication, quota, faults, execution, latency.

use axum::body::{Body, Bytes};
use axum::http::header::DATE;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use time::OffsetDateTime;
use time::macros::format_description;

use super::SandboxState;
use super::answer::{self, AwsError, Reply};
use super::calls::{CallNumber, Completion};
use super::fault::{Ending, Strike};
use super::form::Form;
use super::iot::certificate_of;
use super::operation::{ApiOperation, AwsService};

/// The connection must be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(super) struct Hangup;

/// Maximum size of a request, in bytes: enough for a batch of 1 MiB in which every character is escaped.
pub(super) const BODY_MAX: usize = 8 << 20;

/// A call that has arrived.
struct Exchange<'a> {
    state: &'a SandboxState,
    operation: ApiOperation,
    call: CallNumber,
    head: Parts,
    body: Bytes,
}

/// Answers one AWS request.
///
/// # Errors
/// [`Hangup`] if a fault withholds the answer or the caller disconnected.
pub(super) async fn answer(state: &SandboxState, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
    let (head, body) = request.into_parts();
    let mut body = Body::new(body);
    let operation = if ApiOperation::is_in_form(&head) {
        let form = read(body).await?;
        body = Body::from(form.clone());
        ApiOperation::of_form(&Form::read(&form))
    } else {
        ApiOperation::of(&head)
    };
    let Some(operation) = operation else { return Ok(unknown_operation(&head)) };
    let (call, arrived) = state.calls.open(operation);
    let body = read(body).await?;
    let strike = match state.sts.authenticate(operation, &head) {
        Err(denied) => Strike::refusal(denied),
        Ok(()) if state.buckets.admits(operation, arrived) => state.faults.draw(operation, arrived),
        Ok(()) => Strike::refusal(AwsError::throttled()),
    };
    let latency = state.settings.latency + strike.latency;
    let ending = Exchange { state, operation, call, head, body }.run(strike).await;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let response = match ending {
        Ending::Answer(answer) => answer::write(operation.service(), &call.request_id(), answer),
        Ending::Other(other) => answer::write_other(other),
        Ending::Reset => return Err(Hangup),
        Ending::Hang => std::future::pending().await,
    };
    Ok(set_date(response, state.settings.clock_ahead))
}

/// Sets the date header if the sandbox's clock is ahead; otherwise the server sets this machine's time itself.
fn set_date(mut response: Response<Body>, clock_ahead: time::Duration) -> Response<Body> {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    if !clock_ahead.is_zero() {
        let date = (OffsetDateTime::now_utc() + clock_ahead).format(format).expect("a time in UTC has all parts");
        response.headers_mut().insert(DATE, date.parse().expect("a date is header text"));
    }
    response
}

async fn read(body: Body) -> Result<Bytes, Hangup> {
    axum::body::to_bytes(body, BODY_MAX).await.map_err(|_| Hangup)
}

impl Exchange<'_> {
    /// Runs the operation as far as the faults allow, and logs the result.
    ///
    /// This happens before the latency, so a call has its effect even if the caller gives up early.
    async fn run(&self, mut strike: Strike) -> Ending {
        let replacement = strike.ending.take();
        let answer = if strike.prevents_execution { None } else { Some(self.execute(&strike).await) };
        let executed = answer.is_some();
        let ending = replacement
            .or(answer.map(Ending::Answer))
            .expect("only a fault that replaces the answer prevents the operation");
        let certificate = certificate_of(self.operation, &self.head, &self.body);
        self.state.calls.close(self.call, Completion { answer: ending.name(), executed, certificate });
        ending
    }

    async fn execute(&self, strike: &Strike) -> Reply {
        let state = self.state;
        match self.operation.service() {
            AwsService::Iot => state.iot.answer(self.operation, &self.head, &self.body, strike),
            AwsService::Sts => state.sts.answer(self.operation, &self.call.request_id(), &self.head, &self.body),
            AwsService::Sqs => state.sqs.answer(self.operation, &self.head, &self.body, strike).await,
        }
    }
}

/// Returns the error for an unknown path, target or form, in the format of the service that was most likely meant.
fn unknown_operation(request: &Parts) -> Response<Body> {
    let (service, status, code) = if ApiOperation::is_in_form(request) {
        (AwsService::Sts, 400, "InvalidAction")
    } else if request.headers.contains_key("x-amz-target") {
        (AwsService::Sqs, 404, "UnknownOperationException")
    } else {
        (AwsService::Iot, 404, "UnknownOperationException")
    };
    let message = format!("the sandbox does not implement {} {}", request.method, request.uri.path());
    let error = AwsError::new(status, code, message);
    answer::write(service, "00000000-0000-4000-8000-ffffffffffff", Err(error))
}
