//! The log filter and the format of log lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Targets whose events are hidden unless the filter names them. While loading credentials, roles and profiles, the SDK
/// logs errors and values in Rust's debug form at `info` and `warn`; sqlx logs several lines for each lost connection.
/// Muster's own errors report the same in plain words.
const QUIETED: &str = "aws_config=error,sqlx::pool=error,sqlx_core::pool=error,sqlx::postgres::notice=error";

/// A log filter in the syntax of `tracing`, for example `muster=debug,warn`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// Parses a filter.
    ///
    /// # Errors
    /// [`ParseError`] if `tracing` does not accept the text.
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        let text = text.into();
        EnvFilter::builder().parse(&text)?;
        Ok(Self(text))
    }

    /// Returns a filter for errors only, plus the download of an embedded Postgres, which takes a while.
    pub fn quiet() -> Self {
        Self("error,muster_sandbox::postgres=info".to_owned())
    }

    /// Returns the layer that applies the filter.
    pub(crate) fn layer(&self) -> EnvFilter {
        // A later directive wins over an earlier one, and a longer target over a shorter one.
        EnvFilter::builder().parse(format!("{QUIETED},{}", self.0)).expect("the filter was parsed when it was created")
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl TryFrom<String> for LogFilter {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        Self::new(text)
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> Self {
        filter.0
    }
}
