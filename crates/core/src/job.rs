//! The job message, version 1: one certificate per message, with AWS's own field names.
//!
//! [`Job::parse`] is the only reader and [`Job::to_body`] the only writer. A body that is not a job is an error with a
//! [`ParseError::code`] from a closed set, never a panic. Pure: no I/O, no clock.

mod authority;
mod batch_size;
mod error;
mod json;
mod name;
mod request;
mod wrapper;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use strum::VariantArray;

use error::{VERSION, classify, wrong_request};

pub use authority::{CertificateMode, RegisterCaCertificate, RegistrationConfig, Tag};
pub use batch_size::BATCH_SIZE_MAX;
pub use error::ParseError;
pub use name::{NAME_MAX, Name, NameError};
pub use request::{CertificateStatus, Operation, RegisterCertificate, RegisterCertificateWithoutCa, Request};
pub use wrapper::Wrapper;

/// The batch of jobs that do not name one.
pub const UNBATCHED: &str = "unbatched";

/// The target of jobs that do not name one.
pub const DEFAULT_TARGET: &str = "default";

/// One certificate to register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// The batch that the job is counted in.
    pub batch: Name,
    /// How many distinct certificates the producer will send in this batch; at most [`BATCH_SIZE_MAX`].
    pub batch_size: Option<u64>,
    /// The factory line.
    pub source: Option<Name>,
    /// The factory line's own name for the device.
    pub reference: Option<Name>,
    /// The target (an account and region), by its name in the configuration.
    pub target: Name,
    /// Skips the lookup of known certificates, so that AWS is asked.
    pub verify: bool,
    /// The fields of the call.
    pub request: Request,
}

/// A queue message: one certificate to register.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Muster job, version 1")]
struct Message<R> {
    /// The version of the message: 1.
    #[schemars(range(min = VERSION, max = VERSION))]
    version: u32,
    /// The AWS call to make.
    operation: Operation,
    /// The batch that the job is counted in. Default: `unbatched`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    batch: Option<Name>,
    /// How many distinct certificates the producer will send in this batch. The largest number announced counts.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "batch_size::read")]
    #[schemars(range(max = BATCH_SIZE_MAX))]
    batch_size: Option<u64>,
    /// The factory line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<Name>,
    /// The factory line's own name for the device.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    reference: Option<Name>,
    /// The target (an account and region), by its name in Muster's settings. Default: `default`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    target: Option<Name>,
    /// Asks AWS even if the ledger already has the certificate. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    verify: bool,
    /// The fields of the AWS call, with AWS's own names.
    request: R,
}

impl Job {
    /// The AWS call that the job asks for.
    pub fn operation(&self) -> Operation {
        self.request.operation()
    }

    /// Parses a message body of a job whose target is served.
    ///
    /// # Errors
    /// The body is not a job, or `is_served` does not know its target.
    pub fn parse_served(body: &str, is_served: impl FnOnce(&Name) -> bool) -> Result<Self, ParseError> {
        let job = Self::parse(body)?;
        if is_served(&job.target) { Ok(job) } else { Err(ParseError::UnknownTarget { target: job.target }) }
    }

    /// Parses a message body, with or without a byte order mark in front.
    ///
    /// # Errors
    /// A [`ParseError`] says why the body is not a job. Its text never repeats a value from the body.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let message: Message<&RawValue> = json::object(body).map_err(|e| classify(body, &e))?;
        if message.version != VERSION {
            return Err(ParseError::UnknownVersion { found: message.version.into() });
        }
        let request = Request::read(message.operation, message.request.get());
        Ok(Self {
            request: request.map_err(|e| wrong_request(&e))?,
            batch: message.batch.unwrap_or_else(|| Name::of(UNBATCHED)),
            batch_size: message.batch_size,
            source: message.source,
            reference: message.reference,
            target: message.target.unwrap_or_else(|| Name::of(DEFAULT_TARGET)),
            verify: message.verify,
        })
    }

    /// Writes the message body that [`Job::parse`] reads back as this job.
    pub fn to_body(&self) -> String {
        let message = Message {
            version: VERSION,
            operation: self.operation(),
            batch: Some(self.batch.clone()),
            batch_size: self.batch_size,
            source: self.source.clone(),
            reference: self.reference.clone(),
            target: Some(self.target.clone()),
            verify: self.verify,
            request: &self.request,
        };
        let body = serde_json::to_string(&message).expect("strings and numbers always become JSON");
        // SQS accepts only the characters of XML 1.0. Of the characters that JSON does not escape, it refuses these
        // two.
        body.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff")
    }

    /// The JSON Schema of the message. `docs/job.schema.json` publishes it for producers that write their own messages.
    pub fn schema() -> Schema {
        let mut schema = schemars::schema_for!(Message<Request>);
        // Which fields `request` may have depends on the operation.
        let of = |operation: &Operation| {
            let fields = Request::schema_name_of(*operation);
            json!({
                "if": { "properties": { "operation": { "const": operation } } },
                "then": { "properties": { "request": { "$ref": format!("#/$defs/{fields}") } } },
            })
        };
        schema.insert("allOf".to_owned(), Operation::VARIANTS.iter().map(of).collect());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"version":1,"operation":"RegisterCertificate","request":{"certificatePem":"x"}}"#;

    fn code(body: &str) -> &'static str {
        Job::parse(body).expect_err(body).code()
    }

    #[test]
    fn a_minimal_message_gets_the_defaults() {
        let job = Job::parse(MINIMAL).unwrap();
        assert_eq!((job.batch.as_str(), job.target.as_str(), job.verify), ("unbatched", "default", false));
        assert_eq!(job.request.wanted_status(), CertificateStatus::Inactive);
    }

    #[test]
    fn a_leading_byte_order_mark_is_ignored() {
        assert_eq!(Job::parse(&format!("\u{feff}{MINIMAL}")).unwrap(), Job::parse(MINIMAL).unwrap());
        assert_eq!(code(&format!("{MINIMAL}\u{feff}")), "not_json");
    }

    #[test]
    fn a_wrapped_job_is_refused_with_the_fix() {
        let body = json!({ "Type": "Notification", "TopicArn": "a", "Message": MINIMAL }).to_string();
        for body in [body.clone(), format!("\u{feff}{body}")] {
            let error = Job::parse(&body).expect_err("it is wrapped");
            assert_eq!(error.code(), "wrapped");
            let text = "the body is an Amazon SNS notification: enable raw message delivery on the subscription";
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn characters_that_sqs_refuses_are_escaped() {
        let mut job = Job::parse(MINIMAL).unwrap();
        let certificate_pem = "a\u{fffe}b\u{ffff}c\0d\u{7f}".to_owned();
        job.request = RegisterCertificate { certificate_pem, ..RegisterCertificate::default() }.into();
        let body = job.to_body();
        assert!(body.chars().all(|c| matches!(c, ' '..='\u{fffd}' | '\u{10000}'..)), "{body}");
        assert_eq!(Job::parse(&body).unwrap(), job);
    }

    #[test]
    fn a_full_message_survives_a_round_trip() {
        let body = r#"{"version":1,"operation":"RegisterCertificate","batch":"line7-2026-11-21-a","batchSize":120000,
            "source":"plant-3/line-7","ref":"SN-000123","target":"eu","verify":true,
            "request":{"certificatePem":"a","caCertificatePem":"b","status":"ACTIVE"}}"#;
        let job = Job::parse(body).unwrap();
        assert_eq!(job.batch_size, Some(120_000));
        assert_eq!(job.reference.as_ref().unwrap().as_str(), "SN-000123");
        assert_eq!(Job::parse(&job.to_body()).unwrap(), job);
    }

    /// `UPDATE=1 cargo test schema` rewrites the file.
    #[test]
    fn the_schema_matches_the_published_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/job.schema.json");
        let schema = serde_json::to_string_pretty(&Job::schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema);
    }

    #[test]
    fn bodies_that_are_not_jobs_get_a_precise_code() {
        assert_eq!(code(""), "not_json");
        assert_eq!(code("hello"), "not_json");
        assert_eq!(code(&"[".repeat(100_000)), "not_json");
        assert_eq!(code(r#"{"version":1,"operation":"\ud800"}"#), "not_json");
        assert_eq!(code("[]"), "not_a_job");
        assert_eq!(code("{}"), "not_a_job");
        assert_eq!(code(&MINIMAL.replace(":1,", ":2,")), "unknown_version");
        assert_eq!(code(r#"{"version":2,"certs":[]}"#), "unknown_version");
        assert_eq!(code(&MINIMAL.replace(":1,", ":1,\"version\":1,")), "not_a_job");
        assert_eq!(code(&MINIMAL.replace(":1,", ":1,\"colour\":1,")), "not_a_job");
        assert_eq!(code(&MINIMAL.replace("\"x\"", "\"x\",\"colour\":1")), "not_a_job");
        assert_eq!(code(&MINIMAL.replace("RegisterCertificate", "DeleteEverything")), "not_a_job");
        assert_eq!(code(&MINIMAL.replace(":1,", &format!(":1,\"batch\":\"{}\",", "x".repeat(129)))), "not_a_job");
        assert_eq!(code(&MINIMAL.replace(":1,", ":1,\"batch\":\"<script>\",")), "not_a_job");
    }

    #[test]
    fn an_error_never_repeats_a_value_of_the_body() {
        let secret = "-----BEGIN PRIVATE KEY-----";
        for body in [
            format!(r#"{{"version":"{secret}"}}"#),
            format!(r#"{{"version":1,"operation":"RegisterCertificate","request":"{secret}"}}"#),
            format!(
                r#"{{"version":1,"operation":"RegisterCertificate","request":{{"certificatePem":{{"a":"{secret}"}}}}}}"#
            ),
        ] {
            let error = Job::parse(&body).expect_err(&body).to_string();
            assert!(!error.contains("BEGIN"), "{error}");
        }
    }
}
