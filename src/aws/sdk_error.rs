//! Reads the SDK's errors: their own text says only "service error" or "dispatch failure".

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::runtime::causes;

/// Most characters of an error's text that are kept.
pub const TEXT_MAX: usize = 500;

/// How to fix what keeps AWS from being reached.
pub const NETWORK_HINT: &str = "check the network, `aws.region`, the proxy that HTTPS_PROXY or HTTP_PROXY names, and \
                                AWS_ENDPOINT_URL or `aws.endpoint_url`";

/// How to fix a call to the wrong region.
pub const REGION_HINT: &str = "check `aws.region`, or AWS_REGION where the settings have none";

/// Error codes with which a service says that it has too much to do.
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

/// Says whether a service refused a call, and not only had no time for it or trouble of its own.
pub fn is_refusal(status: u16, code: Option<&str>) -> bool {
    (400..500).contains(&status) && status != 429 && code.is_some_and(|code| !THROTTLES.contains(&code))
}

/// An error and its causes in one line, cut to [`TEXT_MAX`] characters.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    one_line(&texts.join(": "))
}

/// A text that a service sent, as it may be printed and stored: one line of [`TEXT_MAX`] characters at most.
pub fn one_line(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Says whether a call failed before anything of it was sent: no connection came about.
pub fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    // The types of these errors are private to the HTTP client.
    const UNCONNECTED: [&str; 2] = ["client error (Connect)", "HTTP connect timeout"];
    causes(error).any(|cause| {
        let text = cause.to_string();
        UNCONNECTED.iter().any(|words| text.starts_with(words))
    })
}

/// Headers with the request id: every answer of AWS has one of them.
const REQUEST_ID: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// Words for an answer that AWS did not give: it has neither an error code nor the id of the request. None for every other
/// error; `code` is the error code, where there is one.
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
    Some(format!("HTTP {status} with {content_type} is no answer of AWS: a proxy or a gateway on the way gave it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_code_of_its_own() {
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
    fn a_text_of_a_service_becomes_one_short_line() {
        let text = format!("first\nERROR second\r\u{1b}[31m\0\u{9b}{}", "x".repeat(TEXT_MAX));
        let line = one_line(&text);
        assert!(line.starts_with("first ERROR second  [31m  xxx"), "{line}");
        assert_eq!(line.chars().count(), TEXT_MAX);
    }
}
