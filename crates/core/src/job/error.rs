//! Why a message body is no job that can be done.

use serde::Deserialize;

use super::json::without_values;
use super::name::Name;
use super::wrapper::Wrapper;

/// The only message version there is.
pub(super) const VERSION: u32 = 1;

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
    /// Another service put an envelope around it.
    #[error("{}", .0.advice())]
    Wrapped(Wrapper),
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
            Self::Wrapped(_) => "wrapped",
            Self::UnknownTarget { .. } => "unknown_target",
        }
    }

    /// Every code there is.
    pub const CODES: [&str; 5] = ["not_json", "unknown_version", "not_a_job", "wrapped", "unknown_target"];
}

/// Says whether a body that was refused is no JSON, of another version, or JSON that is no job.
pub(super) fn classify(body: &str, error: &serde_json::Error) -> ParseError {
    #[derive(Deserialize)]
    struct Version {
        version: i64,
    }
    if let Some(wrapper) = Wrapper::of(body) {
        return ParseError::Wrapped(wrapper);
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
pub(super) fn wrong_request(error: &serde_json::Error) -> ParseError {
    let text = format!("request: {}", without_values(error));
    if error.is_data() { ParseError::NotAJob(text) } else { ParseError::NotJson(text) }
}
