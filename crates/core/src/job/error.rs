//! Why a message body is not a valid job.

use serde::Deserialize;

use super::json::without_values;
use super::name::Name;
use super::wrapper::Wrapper;

/// The only message version.
pub(super) const VERSION: u32 = 1;

/// Why a message body is not a valid job. Such a message is quarantined.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The body is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The version is not supported.
    #[error("message version {found} is not supported, expected version 1")]
    UnknownVersion {
        /// The version in the message.
        found: i64,
    },
    /// The body is JSON, but a field is missing, unknown, duplicated or malformed.
    #[error("{0}")]
    NotAJob(String),
    /// Another service put an envelope around the job.
    #[error("{}", .0.advice())]
    Wrapped(Wrapper),
    /// The job is for a target that this worker does not serve.
    #[error("target `{target}` is not in the configuration")]
    UnknownTarget {
        /// The target that the job names.
        target: Name,
    },
}

impl ParseError {
    /// The code of the reason, one of [`ParseError::CODES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::NotAJob(_) => "not_a_job",
            Self::Wrapped(_) => "wrapped",
            Self::UnknownTarget { .. } => "unknown_target",
        }
    }

    /// Every code.
    pub const CODES: [&str; 5] = ["not_json", "unknown_version", "not_a_job", "wrapped", "unknown_target"];
}

/// Classifies a body that was refused: wrapped, not JSON, of another version, or JSON that is not a job.
pub(super) fn classify(body: &str, error: &serde_json::Error) -> ParseError {
    #[derive(Deserialize)]
    struct Version {
        version: i64,
    }
    if let Some(wrapper) = Wrapper::of(body) {
        return ParseError::Wrapped(wrapper);
    }
    // serde reports a wrong field before a syntax error that comes later, so a second pass checks whether it is JSON at
    // all.
    let is_json = error.is_data() && serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    if !is_json {
        return ParseError::NotJson(without_values(error));
    }
    match serde_json::from_str(body) {
        Ok(Version { version }) if version != i64::from(VERSION) => ParseError::UnknownVersion { found: version },
        _ => ParseError::NotAJob(without_values(error)),
    }
}

/// Classifies an error in the request. Parsing the whole body skips over some syntax errors that show only here, such
/// as a lone surrogate in a string.
pub(super) fn wrong_request(error: &serde_json::Error) -> ParseError {
    let text = format!("request: {}", without_values(error));
    if error.is_data() { ParseError::NotAJob(text) } else { ParseError::NotJson(text) }
}
