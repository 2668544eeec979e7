//! Reads the SDK's errors, because their own text says only "service error" or "dispatch failure".

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::runtime::causes;

/// Maximum number of characters kept of an error's text.
pub const TEXT_MAX: usize = 500;

/// How to fix an unreachable AWS.
pub const NETWORK_HINT: &str = "check the network, `aws.region`, the proxy that HTTPS_PROXY or HTTP_PROXY names, and \
                                AWS_ENDPOINT_URL or `aws.endpoint_url`";

/// How to fix a call to the wrong region.
pub const REGION_HINT: &str = "check `aws.region`, or AWS_REGION if the settings do not set it";

/// Error codes by which a service reports that it is overloaded.
const THROTTLES: [&str; 8] = [
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
];

/// Returns whether a service refused a call, as opposed to being overloaded or failing itself.
pub fn is_refusal(status: u16, code: Option<&str>) -> bool {
    (400..500).contains(&status) && status != 429 && code.is_some_and(|code| !THROTTLES.contains(&code))
}

/// Returns an error and its causes in one line of at most [`TEXT_MAX`] characters.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    one_line(&texts.join(": "))
}

/// Returns text from a service in a form that is safe to print and store: one line of at most [`TEXT_MAX`] characters.
pub fn one_line(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns whether a call failed before anything was sent, because no connection was established.
pub fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    // The types of these errors are private to the HTTP client, so only their text identifies them.
    const UNCONNECTED: [&str; 2] = ["client error (Connect)", "HTTP connect timeout"];
    causes(error).any(|cause| {
        let text = cause.to_string();
        UNCONNECTED.iter().any(|words| text.starts_with(words))
    })
}

/// Headers that contain the request id. Every AWS answer has one of them.
const REQUEST_ID: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// Describes an answer that did not come from AWS: it has neither an error code nor a request id. Returns `None` for
/// every other error. `code` is the error code, if there is one.
pub fn not_from_aws<E>(error: &SdkError<E, HttpResponse>, code: Option<&str>) -> Option<String> {
    let response = match error {
        SdkError::ServiceError(service) if code.is_none() => service.raw(),
        SdkError::ResponseError(response) => response.raw(),
        _ => return None,
    };
    let (status, headers) = (response.status().as_u16(), response.headers());
    if REQUEST_ID.iter().any(|name| headers.contains_key(*name)) {
        return None;
    }
    let content_type = one_line(headers.get("content-type").unwrap_or("no content type"));
    Some(format!("HTTP {status} with {content_type} is not an answer from AWS: a proxy or gateway on the way sent it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_error_with_a_code_is_a_refusal() {
        for (status, code, expected) in [
            (403, Some("AccessDenied"), true),
            (400, Some("InvalidClientTokenId"), true),
            (400, Some("Throttling"), false),
            (429, Some("AccessDenied"), false),
            (503, Some("ServiceUnavailable"), false),
            (500, Some("InternalFailure"), false),
            (403, None, false),
            (200, None, false),
        ] {
            assert_eq!(is_refusal(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn text_of_a_service_becomes_one_short_line() {
        let text = format!("first\nERROR second\r\u{1b}[31m\0\u{9b}{}", "x".repeat(TEXT_MAX));
        let line = one_line(&text);
        assert!(line.starts_with("first ERROR second  [31m  xxx"), "{line}");
        assert_eq!(line.chars().count(), TEXT_MAX);
    }
}
