//! Why a call has no credentials. Nothing was sent in that case.

use std::error::Error;
use std::io::ErrorKind;

use aws_config::meta::{ProviderAttempt, ProviderChainError};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::IdentityError;
use crate::aws::sdk_error::{is_unsent, one_line};
use crate::runtime::causes;

/// Returns why there are no credentials, if that is what caused the error.
pub(super) fn why(error: &(dyn Error + 'static)) -> Option<IdentityError> {
    let fault: &CredentialsError = causes(error).find_map(|cause| cause.downcast_ref())?;
    let text = text(fault);
    Some(if is_unanswered(fault) { IdentityError::CredentialsLate(text) } else { IdentityError::NoCredentials(text) })
}

/// Returns the errors of all sources of credentials that the SDK tried, if none of them had any.
fn sources(fault: &CredentialsError) -> Option<&ProviderChainError<CredentialsError>> {
    causes(fault).find_map(|cause| cause.downcast_ref())
}

/// Returns the text of an error without the outer texts, which only say "no credentials".
fn text(fault: &CredentialsError) -> String {
    let Some(sources) = sources(fault) else { return causes_of(fault).unwrap_or_else(|| one_line(&fault.to_string())) };
    let describe =
        |name: &str, error| format!("{name}: {}", causes_of(error).unwrap_or_else(|| "not set up".to_owned()));
    let sources: Vec<_> = sources.attempts().iter().map(|attempt| describe(attempt.name(), attempt.error())).collect();
    one_line(&format!("none found ({})", sources.join("; ")))
}

fn causes_of(fault: &CredentialsError) -> Option<String> {
    let texts: Vec<_> = causes(fault).skip(1).map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| one_line(&texts.join(": ")))
}

/// Returns whether the source of the credentials did not answer, so that nothing may be wrong with them.
fn is_unanswered(fault: &CredentialsError) -> bool {
    match fault {
        CredentialsError::ProviderTimedOut(_) => true,
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) => causes(fault).any(is_missing_answer),
        // Most machines have no metadata service, so connecting to it fails. If it accepts a connection, it exists.
        _ => sources(fault).is_some_and(|sources| {
            let errors = sources.attempts().iter().map(ProviderAttempt::error);
            errors.into_iter().any(|error| is_from_metadata_service(error) && !is_unsent(error))
        }),
    }
}

/// Returns whether the error comes from the metadata service: it gave no usable answer, or the machine has no role.
fn is_from_metadata_service(error: &CredentialsError) -> bool {
    causes(error).any(|cause| cause.to_string() == "could not communicate with IMDS")
}

/// Returns whether an error means that there was no answer.
fn is_missing_answer(cause: &(dyn Error + 'static)) -> bool {
    let is_late = |error: &std::io::Error| error.kind() == ErrorKind::TimedOut;
    cause.downcast_ref::<ConnectorError>().is_some() || cause.downcast_ref().is_some_and(is_late)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns the error of a call. The SDK wraps a credentials error in a connector error.
    fn call(fault: CredentialsError) -> ConnectorError {
        ConnectorError::other(fault.into(), None)
    }

    #[test]
    fn an_unresponsive_source_is_not_missing_credentials() {
        let unconnected = ConnectorError::io("connection refused".into());
        let late = std::io::Error::new(ErrorKind::TimedOut, "no answer");
        for (fault, is_late) in [
            (CredentialsError::provider_timed_out(Duration::from_secs(5)), true),
            (CredentialsError::provider_error(unconnected), true),
            (CredentialsError::provider_error(late), true),
            (CredentialsError::provider_error("expired"), false),
            (CredentialsError::not_loaded("no profile"), false),
        ] {
            let why = why(&call(fault)).unwrap();
            assert_eq!(matches!(why, IdentityError::CredentialsLate(_)), is_late, "{why}");
            assert!(!why.to_string().contains("other: "), "{why}");
        }
        assert!(why(&std::io::Error::other("reset")).is_none());
    }
}
