//! The answer of an operation, and how each service writes it on the wire.
//!
//! Every [`AwsError`] is serialized here for all three protocols, so no operation knows its wire format.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use serde::Serialize;

use super::fault::OtherAnswer;
use super::operation::AwsService;
use muster_core::certificate::CertificateId;

/// An error response of AWS.
#[derive(Clone, Debug)]
pub(super) struct AwsError {
    /// The HTTP status.
    pub(super) status: u16,
    /// The name of the error's shape.
    pub(super) code: Cow<'static, str>,
    /// The code in SQS's older query protocol, if it differs from `code`.
    pub(super) query_code: Option<&'static str>,
    /// The text for people.
    pub(super) message: String,
    /// The certificate or CA that is already registered: its id and ARN.
    pub(super) resource: Option<Box<(CertificateId, String)>>,
}

/// The result of every operation: a body in the service's format, or an error.
pub(super) type Reply = Result<String, AwsError>;

/// Serializes a successful answer as JSON.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers contain only text, numbers and maps with text keys")
}

impl AwsError {
    /// Creates an error with the given status, code and message.
    pub(super) fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), query_code: None, message: message.into(), resource: None }
    }

    /// Returns the error for a call that found no token in its bucket.
    pub(super) fn throttled() -> Self {
        Self::new(400, "ThrottlingException", "Rate exceeded")
    }

    /// Returns the error code of SQS's older query protocol, which older clients still compare against.
    pub(super) fn query_code(&self) -> &str {
        self.query_code.unwrap_or(&self.code)
    }

    /// Returns whether the caller caused the error (any status below 500).
    pub(super) fn is_sender_fault(&self) -> bool {
        self.status < 500
    }
}

/// Writes an answer in the format of `service`.
pub(super) fn write(service: AwsService, request_id: &str, answer: Reply) -> Response<Body> {
    let builder = Response::builder().header("x-amzn-requestid", request_id);
    let response = match (service, answer) {
        (AwsService::Iot, Ok(body)) => builder.header(CONTENT_TYPE, JSON).body(body.into()),
        (AwsService::Sqs, Ok(body)) => builder.header(CONTENT_TYPE, AWS_JSON).body(body.into()),
        (AwsService::Sts, Ok(body)) => builder.header(CONTENT_TYPE, XML).body(body.into()),
        (AwsService::Iot, Err(error)) => builder
            .status(error.status)
            .header(CONTENT_TYPE, JSON)
            .header("x-amzn-errortype", error.code.as_ref())
            .body(iot_error(&error).into()),
        (AwsService::Sqs, Err(error)) => {
            let side = if error.is_sender_fault() { "Sender" } else { "Receiver" };
            builder
                .status(error.status)
                .header(CONTENT_TYPE, AWS_JSON)
                .header("x-amzn-query-error", format!("{};{side}", error.query_code()))
                .body(sqs_error(&error).into())
        }
        (AwsService::Sts, Err(error)) => {
            builder.status(error.status).header(CONTENT_TYPE, XML).body(sts_error(&error, request_id).into())
        }
    };
    response.expect("codes are checked to be valid header text on input")
}

/// Writes an answer that does not come from the service, so it carries no request id.
pub(super) fn write_other(OtherAnswer { status, content_type, body }: OtherAnswer) -> Response<Body> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, content_type).body(body.into());
    response.expect("status and content type are checked when the fault is set")
}

const JSON: &str = "application/json";
const AWS_JSON: &str = "application/x-amz-json-1.0";
const XML: &str = "text/xml";

fn iot_error(error: &AwsError) -> String {
    match &error.resource {
        None => serde_json::json!({ "message": error.message }),
        Some(resource) => serde_json::json!({
            "message": error.message,
            "resourceId": resource.0,
            "resourceArn": resource.1,
        }),
    }
    .to_string()
}

fn sqs_error(error: &AwsError) -> String {
    serde_json::json!({ "__type": format!("com.amazonaws.sqs#{}", error.code), "message": error.message }).to_string()
}

fn sts_error(error: &AwsError, request_id: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape_xml(&error.code),
        escape_xml(&error.message),
    )
}

/// Escapes text for use as XML character data.
pub(super) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
