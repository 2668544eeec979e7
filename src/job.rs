//! The job message, version 1: one certificate a message, in AWS's own spelling.
//!
//! [`Job::parse`] is the only reader and [`Job::to_body`] the only writer. A body that is no job is an error with a
//! closed [`ParseError::code`], never a panic. Pure: no I/O, no clock.

use std::fmt;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The batch of jobs that name none.
pub const UNBATCHED: &str = "unbatched";

/// The target of jobs that name none.
pub const DEFAULT_TARGET: &str = "default";

/// Most characters of a [`Name`].
pub const NAME_MAX: usize = 128;

/// A name given by people or lines: `[A-Za-z0-9._:/+@=-]{1,128}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._:/+@=-]{1,128}$"))]
pub struct Name(String);

/// A name with a character outside its set, or of a length outside 1 to 128.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("a name has 1 to 128 characters of A-Z a-z 0-9 . _ : / + @ = -, found {found}")]
pub struct NameError {
    found: String,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:/+@=-".contains(c);
        if text.is_empty() || text.len() > NAME_MAX {
            return Err(NameError { found: format!("{} bytes", text.len()) });
        }
        match text.chars().find(|&c| !fits(c)) {
            None => Ok(Self(text)),
            Some(c) => Err(NameError { found: c.escape_default().to_string() }),
        }
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.to_owned().try_into()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The AWS call that a job asks for.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantArray,
)]
pub enum Operation {
    /// Registers a device certificate under a CA that the account has registered.
    RegisterCertificate,
}

/// The statuses of a certificate at AWS.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    JsonSchema,
    PartialEq,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateStatus {
    /// The device may connect.
    Active,
    /// The device may not connect; AWS's default.
    Inactive,
    /// Revoked.
    Revoked,
    /// Waits for a transfer to be accepted; no registration can set it.
    PendingTransfer,
    /// Registered by just-in-time registration; no registration can set it.
    RegisterInactive,
    /// Waits for its activation; no registration can set it.
    PendingActivation,
}

/// The fields of the RegisterCertificate call.
#[derive(Clone, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterCertificate {
    /// The device certificate as PEM.
    #[schemars(length(min = 1, max = 65_536))]
    pub certificate_pem: String,
    /// The CA that signed it, as PEM; AWS needs it only where several CAs share a subject.
    #[schemars(length(min = 1, max = 65_536))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_certificate_pem: Option<String>,
    /// The status to register it with; AWS's default is INACTIVE.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<CertificateStatus>,
}

impl RegisterCertificate {
    /// The status that the certificate shall have: what the job says, or AWS's default.
    pub fn wanted_status(&self) -> CertificateStatus {
        self.status.unwrap_or(CertificateStatus::Inactive)
    }
}

/// Prints sizes only: a PEM body never reaches a log.
impl fmt::Debug for RegisterCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterCertificate")
            .field("certificate_pem_chars", &self.certificate_pem.len())
            .field("ca_certificate_pem_chars", &self.ca_certificate_pem.as_ref().map(String::len))
            .field("status", &self.status)
            .finish()
    }
}

/// One certificate to be registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// The AWS call.
    pub operation: Operation,
    /// What the job is counted under.
    pub batch: Name,
    /// How many distinct certificates the line will send in this batch.
    pub batch_size: Option<u64>,
    /// The factory line.
    pub source: Option<Name>,
    /// The line's own name for the device.
    pub reference: Option<Name>,
    /// The account and region, by its name in the configuration.
    pub target: Name,
    /// Skips the look-up of known certificates, so that AWS itself answers.
    pub verify: bool,
    /// The fields of the call.
    pub request: RegisterCertificate,
}

/// A message of the queue: one certificate to be registered.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Muster job, version 1")]
struct Message<R> {
    /// The version of the message: 1.
    #[schemars(range(min = VERSION, max = VERSION))]
    version: u32,
    /// The AWS call.
    operation: Operation,
    /// What the job is counted under; `unbatched` where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    batch: Option<Name>,
    /// How many distinct certificates the line will send in this batch; the greatest number that is said counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    batch_size: Option<u64>,
    /// The factory line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<Name>,
    /// The line's own name for the device.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    reference: Option<Name>,
    /// The account and region, by its name in Muster's settings; `default` where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    target: Option<Name>,
    /// Has AWS asked even where the ledger knows the certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    verify: bool,
    /// The fields of the AWS call, in AWS's spelling.
    request: R,
}

/// The only message version there is.
const VERSION: u32 = 1;

/// Why a message body is no job that can be done; such a message is quarantined.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The body is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The version is none that this program reads.
    #[error("message version {found}, this program reads version 1")]
    UnknownVersion {
        /// The version in the message.
        found: i64,
    },
    /// It is JSON, but a field is missing, unknown, given twice or of a wrong form.
    #[error("{0}")]
    NotAJob(String),
    /// It is a job for a target that this worker does not serve.
    #[error("target `{target}` is not in the configuration")]
    UnknownTarget {
        /// The target that the job names.
        target: Name,
    },
}

impl ParseError {
    /// The closed code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::NotAJob(_) => "not_a_job",
            Self::UnknownTarget { .. } => "unknown_target",
        }
    }

    /// Every code there is.
    pub const CODES: [&str; 4] = ["not_json", "unknown_version", "not_a_job", "unknown_target"];
}

impl Job {
    /// Reads a message body.
    ///
    /// # Errors
    /// A [`ParseError`] says why the body is no job; its text never repeats a value of the body.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        let message: Message<&RawValue> = object(body).map_err(|e| classify(body, &e))?;
        if message.version != VERSION {
            return Err(ParseError::UnknownVersion { found: message.version.into() });
        }
        let request = match message.operation {
            Operation::RegisterCertificate => object(message.request.get()),
        };
        Ok(Self {
            request: request.map_err(|e| wrong_request(&e))?,
            operation: message.operation,
            batch: message.batch.unwrap_or_else(|| Name(UNBATCHED.to_owned())),
            batch_size: message.batch_size,
            source: message.source,
            reference: message.reference,
            target: message.target.unwrap_or_else(|| Name(DEFAULT_TARGET.to_owned())),
            verify: message.verify,
        })
    }

    /// Writes the message body that [`Job::parse`] reads back as this job.
    pub fn to_body(&self) -> String {
        let message = Message {
            version: VERSION,
            operation: self.operation,
            batch: Some(self.batch.clone()),
            batch_size: self.batch_size,
            source: self.source.clone(),
            reference: self.reference.clone(),
            target: Some(self.target.clone()),
            verify: self.verify,
            request: &self.request,
        };
        let body = serde_json::to_string(&message).expect("strings and numbers always become JSON");
        // SQS takes the characters of XML 1.0 only; of those that JSON leaves as they are, it refuses these two.
        body.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff")
    }

    /// The JSON Schema of the message; `docs/job.schema.json` holds it for lines that write their own.
    pub fn schema() -> Schema {
        schemars::schema_for!(Message<RegisterCertificate>)
    }
}

/// Reads a JSON object; serde alone would take an array for a struct too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("expected an object, found an array"));
    }
    serde_json::from_str(text)
}

/// Says whether a body that was refused is no JSON, of another version, or JSON that is no job.
fn classify(body: &str, error: &serde_json::Error) -> ParseError {
    #[derive(Deserialize)]
    struct Version {
        version: i64,
    }
    // A wrong field before a broken end is reported as the field: only a second look tells that it is no JSON.
    let is_json = error.is_data() && serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    if !is_json {
        return ParseError::NotJson(without_values(error));
    }
    match serde_json::from_str(body) {
        Ok(Version { version }) if version != i64::from(VERSION) => ParseError::UnknownVersion { found: version },
        _ => ParseError::NotAJob(without_values(error)),
    }
}

/// Says why the request is none. What the look at the whole body passes over shows here: a lone surrogate in a string.
fn wrong_request(error: &serde_json::Error) -> ParseError {
    let text = format!("request: {}", without_values(error));
    if error.is_data() { ParseError::NotAJob(text) } else { ParseError::NotJson(text) }
}

/// Serde's message without what it may repeat of the body: that could be a PEM body or a key, and as long as the body.
fn without_values(error: &serde_json::Error) -> String {
    const KEPT_MAX: usize = 32;
    let mut text = error.to_string();
    // What is unknown stands in backticks, before what is expected; a string stands in quotes.
    if let (Some(open), Some(close)) = (text.find('`'), text.rfind("`, expected"))
        && open < close
    {
        let unknown = &text[open + 1..close];
        // A misspelt field is worth telling, and a plain word is no secret.
        let is_word = unknown.len() <= KEPT_MAX && unknown.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !(is_word && text.starts_with("unknown field")) {
            text.replace_range(open + 1..close, "...");
        }
    }
    match (text.find('"'), text.rfind('"')) {
        (Some(open), Some(close)) if open < close => format!("{}\"...\"{}", &text[..open], &text[close + 1..]),
        _ => text,
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
    fn characters_that_sqs_refuses_are_escaped() {
        let mut job = Job::parse(MINIMAL).unwrap();
        job.request.certificate_pem = "a\u{fffe}b\u{ffff}c\0d\u{7f}".to_owned();
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

    /// `UPDATE=1 cargo test schema` writes the file anew.
    #[test]
    fn the_schema_is_the_one_that_is_published() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/job.schema.json");
        let schema = serde_json::to_string_pretty(&Job::schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema);
    }

    #[test]
    fn bodies_that_are_no_job_get_a_precise_code() {
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
