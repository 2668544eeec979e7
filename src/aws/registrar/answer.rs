//! What one call came to.

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
use crate::aws::target_client::SessionError;
use crate::runtime::causes;
use muster_core::outcome::{Attempt, Code};

/// Why a call did not register the certificate.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// What it means.
    pub kind: ErrorKind,
    /// AWS's error code, or `timeout`, `transport`, `not from AWS`, `no answer`, `no credentials`, `no identity`.
    pub code: String,
    /// AWS's message, cut to 500 characters.
    pub message: String,
    /// The call may have been executed all the same: only its answer is lost.
    pub may_be_executed: bool,
}

impl CallError {
    /// What came of a call that was not made, as nobody said whose the credentials are.
    pub fn unproven(error: &SessionError) -> Self {
        let kind = match error {
            SessionError::Identity(fault) => ErrorKind::without_credentials(fault),
            SessionError::Foreign { .. } => ErrorKind::Denied,
        };
        Self { kind, code: "no identity".to_owned(), message: error.to_string(), may_be_executed: false }
    }

    /// An answer that cannot be made use of.
    pub(super) fn nonsense(message: &str) -> Self {
        let kind = ErrorKind::Transient(Code::UnknownError);
        Self { kind, code: "no answer".to_owned(), message: message.to_owned(), may_be_executed: true }
    }
}

/// What one call came to.
#[derive(Debug)]
pub struct Answer {
    /// The id that AWS gave (for an existing certificate where AWS told it), or why there is none.
    pub result: Result<String, CallError>,
    /// The id of the certificate that AWS says is there already.
    pub existing_id: Option<String>,
    /// The call as the ledger keeps it.
    pub attempt: Attempt,
}

impl Answer {
    /// What it means where the call did not register the certificate.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.result.as_ref().err().map(|error| error.kind)
    }

    /// The same of a call for which AWS looks for no CA.
    pub(super) fn where_no_ca_is_looked_for(mut self) -> Self {
        if let Err(error) = &mut self.result {
            error.kind = error.kind.where_no_ca_is_looked_for();
        }
        self
    }

    /// The answer where no call was made.
    pub fn uncalled(error: CallError) -> Self {
        let attempt = Attempt { at: OffsetDateTime::now_utc(), result: error.code.clone(), request_id: None, ms: 0 };
        Self { result: Err(error), existing_id: None, attempt }
    }
}

/// A call that was begun.
pub(super) struct CallStart {
    at: OffsetDateTime,
    instant: Instant,
}

impl CallStart {
    pub(super) fn now() -> Self {
        Self { at: OffsetDateTime::now_utc(), instant: Instant::now() }
    }

    /// The answer to the call; `id_in` finds the certificate's id in an output.
    pub(super) fn answer<O: RequestId, E: Error + ProvideErrorMetadata + RequestId + 'static>(
        &self,
        answer: Result<O, SdkError<E, HttpResponse>>,
        id_in: impl Fn(&O) -> Option<&str>,
    ) -> Answer {
        match answer {
            Ok(output) => {
                let id = id_in(&output).filter(|id| !id.is_empty()).map(sdk_error::one_line);
                let result = id.ok_or_else(|| CallError::nonsense("the answer has no certificate id"));
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

/// Gives the SDK's error its kind; its own text says only "service error".
pub(super) fn classify<E: Error + ProvideErrorMetadata + 'static>(failure: &SdkError<E, HttpResponse>) -> CallError {
    let (kind, code, message) = kind_code_and_message(failure);
    let may_be_executed = matches!(kind, ErrorKind::Transient(_)) && may_be_executed(failure);
    CallError { kind, code, message, may_be_executed }
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
                code.map_or_else(|| "an answer that AWS does not give".to_owned(), |_| sdk_error::one_line(message)),
            )
        }
        SdkError::TimeoutError(_) => other(ErrorKind::Transient(Code::Timeout), "timeout"),
        SdkError::DispatchFailure(error) if error.is_timeout() => other(ErrorKind::Transient(Code::Timeout), "timeout"),
        SdkError::ConstructionFailure(_) => other(ErrorKind::Denied, "request not made"),
        _ => other(ErrorKind::Transient(Code::Transport), "transport"),
    }
}

/// The status with which AWS or a proxy says that it cannot do a call now.
const UNAVAILABLE: u16 = 503;

/// Says whether a call that failed may have been executed: not where it was refused, on the way or at AWS, before that.
fn may_be_executed<E>(failure: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + 'static,
{
    match failure {
        SdkError::ServiceError(error) => is_of_the_execution(error.raw().status().as_u16()),
        SdkError::ResponseError(error) => is_of_the_execution(error.raw().status().as_u16()),
        SdkError::ConstructionFailure(_) => false,
        _ => !sdk_error::is_unsent(failure),
    }
}

fn is_of_the_execution(status: u16) -> bool {
    status != UNAVAILABLE && !(400..500).contains(&status)
}

/// The id in a `ResourceAlreadyExistsException`.
fn existing_id(failure: &(dyn Error + 'static)) -> Option<String> {
    let exists = causes(failure).find_map(|cause| cause.downcast_ref::<ResourceAlreadyExistsException>())?;
    exists.resource_id().map(sdk_error::one_line)
}
