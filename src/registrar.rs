//! Calls AWS IoT: the only file that names `aws_sdk_iot`.
//!
//! One call is one attempt: the SDK's own retries are off, so that one token, one request and one metric increment
//! stay the same thing. Every answer is classified here, once, by its error code in one table; the [`Kind`] is the
//! behaviour, and what to do next is the worker's decision.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_iot::Client;
use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use aws_sdk_iot::operation::register_certificate::RegisterCertificateError;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::outcome::{Attempt, Code};
use crate::precheck::CheckedCertificate;
use crate::sdk_error;

/// What an answer other than "registered" means, which is what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The certificate is in this account and region already: a good end.
    Exists,
    /// Too many calls: wait, try again; never counts against the job.
    Throttled,
    /// Trouble of AWS or of the way there: try again. The call may have been executed.
    Transient(Code),
    /// `LimitExceededException`: try again slowly, a few times.
    Limited,
    /// The issuing CA is not registered or not active: an operator can mend that.
    IssuerInactive,
    /// AWS refuses this certificate for good.
    Refused(Code),
    /// Our credentials do not work: nobody's job failed.
    Denied,
}

/// The meaning of every error code that AWS declares for the call, or is known to send beside those.
const KINDS: [(&str, Kind); 34] = [
    ("ResourceAlreadyExistsException", Kind::Exists),
    ("ThrottlingException", Kind::Throttled),
    ("Throttling", Kind::Throttled),
    ("ThrottledException", Kind::Throttled),
    ("TooManyRequestsException", Kind::Throttled),
    ("RequestLimitExceeded", Kind::Throttled),
    ("RequestThrottled", Kind::Throttled),
    ("RequestThrottledException", Kind::Throttled),
    ("SlowDown", Kind::Throttled),
    ("ServiceUnavailableException", Kind::Transient(Code::ServerError)),
    ("ServiceUnavailable", Kind::Transient(Code::ServerError)),
    ("InternalFailureException", Kind::Transient(Code::ServerError)),
    ("InternalFailure", Kind::Transient(Code::ServerError)),
    ("InternalServerError", Kind::Transient(Code::ServerError)),
    ("LimitExceededException", Kind::Limited),
    ("CertificateStateException", Kind::IssuerInactive),
    ("CertificateValidationException", Kind::Refused(Code::CertificateValidation)),
    ("CertificateConflictException", Kind::Refused(Code::CertificateConflict)),
    ("InvalidRequestException", Kind::Refused(Code::InvalidRequest)),
    ("ValidationException", Kind::Refused(Code::InvalidRequest)),
    ("UnauthorizedException", Kind::Denied),
    ("AccessDeniedException", Kind::Denied),
    ("AccessDenied", Kind::Denied),
    ("ForbiddenException", Kind::Denied),
    ("ExpiredToken", Kind::Denied),
    ("ExpiredTokenException", Kind::Denied),
    ("InvalidClientTokenId", Kind::Denied),
    ("UnrecognizedClientException", Kind::Denied),
    ("SignatureDoesNotMatch", Kind::Denied),
    ("InvalidSignatureException", Kind::Denied),
    ("IncompleteSignatureException", Kind::Denied),
    ("MissingAuthenticationTokenException", Kind::Denied),
    ("RequestExpired", Kind::Denied),
    ("OptInRequired", Kind::Denied),
];

impl Kind {
    /// The meaning of an error code. A code that nobody knows is tried again: it may be new, and the end that follows
    /// can be replayed.
    pub fn of_code(code: &str) -> Self {
        KINDS.iter().find(|(name, _)| *name == code).map_or(Self::Transient(Code::UnknownError), |(_, kind)| *kind)
    }

    /// The meaning of an answer without an error code: a proxy's, say.
    fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            401 | 403 => Self::Denied,
            _ => Self::Transient(Code::ServerError),
        }
    }

    /// The value of the metric label `result`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Exists => "already_exists",
            Self::Throttled => "throttled",
            Self::Transient(Code::Timeout) => "timeout",
            Self::Transient(Code::Transport) => "transport",
            Self::Transient(_) => "server_error",
            Self::Limited | Self::IssuerInactive | Self::Refused(_) => "refused",
            Self::Denied => "denied",
        }
    }
}

/// The values of the metric label `result`.
pub const RESULT_LABELS: [&str; 8] =
    ["ok", "already_exists", "throttled", "refused", "denied", "server_error", "timeout", "transport"];

/// Why a call did not register the certificate.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// What it means.
    pub kind: Kind,
    /// AWS's error code, or `timeout`, `transport`, `no credentials`, `no identity`.
    pub code: String,
    /// AWS's message, cut to 500 characters.
    pub message: String,
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
    pub fn kind(&self) -> Option<Kind> {
        self.result.as_ref().err().map(|error| error.kind)
    }

    /// The answer where it is clear without a call that it would be denied.
    pub fn denied(code: &str, message: String) -> Self {
        let attempt = Attempt { at: OffsetDateTime::now_utc(), result: code.to_owned(), request_id: None, ms: 0 };
        let error = CallError { kind: Kind::Denied, code: code.to_owned(), message };
        Self { result: Err(error), existing_id: None, attempt }
    }
}

/// One target's IoT client.
#[derive(Clone, Debug)]
pub struct Registrar {
    client: Client,
}

impl Registrar {
    /// Makes the client of an account and region; a call without an answer ends after the time-out.
    pub fn new(config: &SdkConfig, attempt_timeout: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_timeout).build();
        let config = aws_sdk_iot::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// Calls RegisterCertificate once.
    pub async fn register(&self, certificate: &CheckedCertificate) -> Answer {
        let at = OffsetDateTime::now_utc();
        let began = Instant::now();
        let answer = self
            .client
            .register_certificate()
            .certificate_pem(certificate.pem())
            .set_ca_certificate_pem(certificate.ca_pem().map(str::to_owned))
            .set_status(certificate.status().map(|status| <&str>::from(status).into()))
            .send()
            .await;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempt = |result: &str, request_id: Option<&str>| Attempt {
            at,
            result: result.to_owned(),
            request_id: request_id.map(str::to_owned),
            ms,
        };
        match answer {
            Ok(output) => Answer {
                attempt: attempt("ok", output.request_id()),
                existing_id: None,
                result: Ok(sdk_error::one_line(&output.certificate_id.unwrap_or_default())),
            },
            Err(failure) => {
                let error = classify(&failure);
                Answer {
                    attempt: attempt(&error.code, failure.request_id()),
                    existing_id: existing_id(&failure),
                    result: Err(error),
                }
            }
        }
    }
}

type Failure = SdkError<RegisterCertificateError, HttpResponse>;

/// Gives the SDK's error its kind; its own text says only "service error".
fn classify(failure: &Failure) -> CallError {
    let other = |kind, code: &str| CallError { kind, code: code.to_owned(), message: sdk_error::in_one_line(failure) };
    match failure {
        SdkError::ServiceError(error) => {
            let (code, message) = (error.err().code(), error.err().message().unwrap_or_default());
            let status = error.raw().status().as_u16();
            CallError {
                kind: code.map_or_else(|| Kind::of_status(status), Kind::of_code),
                code: code.map_or_else(|| format!("HTTP {status}"), sdk_error::one_line),
                message: sdk_error::one_line(message),
            }
        }
        SdkError::TimeoutError(_) => other(Kind::Transient(Code::Timeout), "timeout"),
        _ if sdk_error::lacks_credentials(failure) => other(Kind::Denied, "no credentials"),
        SdkError::DispatchFailure(error) if error.is_timeout() => other(Kind::Transient(Code::Timeout), "timeout"),
        SdkError::ConstructionFailure(_) => other(Kind::Denied, "request not made"),
        _ => other(Kind::Transient(Code::Transport), "transport"),
    }
}

/// The id in a `ResourceAlreadyExistsException`.
fn existing_id(failure: &Failure) -> Option<String> {
    match failure.as_service_error() {
        Some(RegisterCertificateError::ResourceAlreadyExistsException(error)) => {
            error.resource_id().map(sdk_error::one_line)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_error_of_the_call_has_its_meaning() {
        let declared = [
            ("ResourceAlreadyExistsException", Kind::Exists),
            ("CertificateValidationException", Kind::Refused(Code::CertificateValidation)),
            ("CertificateStateException", Kind::IssuerInactive),
            ("CertificateConflictException", Kind::Refused(Code::CertificateConflict)),
            ("InvalidRequestException", Kind::Refused(Code::InvalidRequest)),
            ("ThrottlingException", Kind::Throttled),
            ("UnauthorizedException", Kind::Denied),
            ("ServiceUnavailableException", Kind::Transient(Code::ServerError)),
            ("InternalFailureException", Kind::Transient(Code::ServerError)),
            ("LimitExceededException", Kind::Limited),
        ];
        for (code, kind) in declared {
            assert_eq!(Kind::of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_tried_again() {
        assert_eq!(Kind::of_code("BrandNewException"), Kind::Transient(Code::UnknownError));
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut names: Vec<_> = KINDS.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn every_label_is_of_the_closed_set() {
        for (_, kind) in KINDS {
            assert!(RESULT_LABELS.contains(&kind.label()), "{kind:?}");
        }
    }
}
