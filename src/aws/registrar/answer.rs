//! The result of one call, and the classification of its error.

use std::error::Error;

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use aws_sdk_iot::types::error::ResourceAlreadyExistsException;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::ErrorKind;
use crate::aws::identity;
use crate::aws::sdk_error;
use crate::runtime::causes;
use muster_core::advice::{Advice, Exit};
use muster_core::outcome::{Attempt, Code};

/// Why a call did not register the certificate.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// What the error means.
    pub kind: ErrorKind,
    /// AWS's error code, or `timeout`, `transport`, `not from AWS`, `no answer`, `no credentials`, `no identity`.
    pub code: String,
    /// AWS's message, cut to 500 characters.
    pub message: String,
    /// Whether the call may have been executed although its answer was lost.
    pub may_have_executed: bool,
}

impl CallError {
    /// Returns the error of an unusable answer. The call may have been executed.
    pub(super) fn unusable(message: &str) -> Self {
        let kind = ErrorKind::Transient(Code::UnknownError);
        Self { kind, code: "no answer".to_owned(), message: message.to_owned(), may_have_executed: true }
    }
}

/// The result of one call.
#[derive(Debug)]
pub struct Answer {
    /// The certificate id that AWS returned, or the error.
    pub result: Result<String, CallError>,
    /// The id of the already registered certificate, if AWS reports one.
    pub existing_id: Option<String>,
    /// The call in the form that the ledger keeps.
    pub attempt: Attempt,
}

impl Answer {
    /// Returns the kind of error, if the call did not register the certificate.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.result.as_ref().err().map(|error| error.kind)
    }

    /// Adjusts the answer to a call for which AWS does not look for a CA.
    pub(super) fn without_ca_lookup(mut self) -> Self {
        if let Err(error) = &mut self.result {
            error.kind = error.kind.without_ca_lookup();
        }
        self
    }

    /// Returns the answer for a call that was not made.
    pub fn uncalled(error: CallError) -> Self {
        let attempt = Attempt { at: OffsetDateTime::now_utc(), result: error.code.clone(), request_id: None, ms: 0 };
        Self { result: Err(error), existing_id: None, attempt }
    }
}

/// The start of a call.
pub(super) struct CallStart {
    at: OffsetDateTime,
    instant: Instant,
}

impl CallStart {
    pub(super) fn now() -> Self {
        Self { at: OffsetDateTime::now_utc(), instant: Instant::now() }
    }

    /// Returns the answer to the call. `id_in` finds the certificate id in the output.
    pub(super) fn answer<O: RequestId, E: Error + ProvideErrorMetadata + RequestId + 'static>(
        &self,
        answer: Result<O, SdkError<E, HttpResponse>>,
        id_in: impl Fn(&O) -> Option<&str>,
    ) -> Answer {
        match answer {
            Ok(output) => {
                let id = id_in(&output).filter(|id| !id.is_empty()).map(sdk_error::one_line);
                let result = id.ok_or_else(|| CallError::unusable("the answer has no certificate id"));
                let attempt =
                    self.attempt(result.as_ref().map_or_else(|error| &*error.code, |_| "ok"), output.request_id());
                Answer { attempt, existing_id: None, result }
            }
            Err(failure) => {
                let error = classify(&failure);
                Answer {
                    attempt: self.attempt(&error.code, failure.request_id()),
                    existing_id: existing_id(&failure),
                    result: Err(error),
                }
            }
        }
    }

    fn attempt(&self, result: &str, request_id: Option<&str>) -> Attempt {
        let ms = u64::try_from(self.instant.elapsed().as_millis()).unwrap_or(u64::MAX);
        Attempt { at: self.at, result: result.to_owned(), request_id: request_id.map(str::to_owned), ms }
    }
}

/// Classifies an SDK error. Its own text says only "service error".
pub(super) fn classify<E: Error + ProvideErrorMetadata + 'static>(failure: &SdkError<E, HttpResponse>) -> CallError {
    let (kind, code, message) = kind_code_and_message(failure);
    let may_have_executed = matches!(kind, ErrorKind::Transient(_)) && may_have_executed(failure);
    CallError { kind, code, message, may_have_executed }
}

fn kind_code_and_message<E>(failure: &SdkError<E, HttpResponse>) -> (ErrorKind, String, String)
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let other = |kind, code: &str| (kind, code.to_owned(), sdk_error::in_one_line(failure));
    if let Some(message) = sdk_error::not_from_aws(failure, failure.code()) {
        return (ErrorKind::Transient(Code::Transport), "not from AWS".to_owned(), message);
    }
    if let Some(fault) = identity::without_credentials(failure) {
        return (ErrorKind::without_credentials(&fault), "no credentials".to_owned(), fault.to_string());
    }
    match failure {
        SdkError::ServiceError(error) => {
            let (code, message) = (error.err().code(), error.err().message().unwrap_or_default());
            let status = error.raw().status().as_u16();
            (
                code.map_or_else(|| ErrorKind::of_status(status), |code| ErrorKind::of(code, message)),
                code.map_or_else(|| format!("HTTP {status}"), sdk_error::one_line),
                code.map_or_else(|| "the answer has no error code".to_owned(), |_| sdk_error::one_line(message)),
            )
        }
        SdkError::TimeoutError(_) => other(ErrorKind::Transient(Code::Timeout), "timeout"),
        SdkError::DispatchFailure(error) if error.is_timeout() => other(ErrorKind::Transient(Code::Timeout), "timeout"),
        SdkError::ConstructionFailure(_) => other(ErrorKind::Denied, "request not made"),
        _ => other(ErrorKind::Transient(Code::Transport), "transport"),
    }
}

/// The status by which AWS or a proxy reports that it cannot handle a call now.
const UNAVAILABLE: u16 = 503;

/// Returns whether a failed call may have been executed: it was not if AWS or something on the way refused it first.
fn may_have_executed<E>(failure: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + 'static,
{
    match failure {
        SdkError::ServiceError(error) => may_follow_execution(error.raw().status().as_u16()),
        SdkError::ResponseError(error) => may_follow_execution(error.raw().status().as_u16()),
        SdkError::ConstructionFailure(_) => false,
        _ => !sdk_error::is_unsent(failure),
    }
}

fn may_follow_execution(status: u16) -> bool {
    status != UNAVAILABLE && !(400..500).contains(&status)
}

/// Returns the id in a `ResourceAlreadyExistsException`.
fn existing_id(failure: &(dyn Error + 'static)) -> Option<String> {
    let exists = causes(failure).find_map(|cause| cause.downcast_ref::<ResourceAlreadyExistsException>())?;
    exists.resource_id().map(sdk_error::one_line)
}

/// For calls whose failure says nothing about a certificate.
impl Advice for CallError {
    fn exit(&self) -> Exit {
        match self.kind {
            ErrorKind::Denied => Exit::Denied,
            ErrorKind::Throttled | ErrorKind::Transient(_) | ErrorKind::Unreached => Exit::Unreachable,
            ErrorKind::Exists
            | ErrorKind::Limited
            | ErrorKind::IssuerInactive
            | ErrorKind::Conflict
            | ErrorKind::Refused(_) => Exit::Error,
        }
    }
}
