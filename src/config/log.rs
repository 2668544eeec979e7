//! What is logged, and how its lines look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is shown only if the filter names its target. The SDK's loading of credentials, roles and profiles logs at `info` and
/// `warn` with errors and values in Rust's debug form, and sqlx several lines for each lost connection; Muster's own errors
/// say the same plainly.
const QUIETED: &str = "aws_config=error,sqlx::pool=error,sqlx_core::pool=error,sqlx::postgres::notice=error";

/// What is logged: a filter that `tracing` understands, for example `muster=debug,warn`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// Makes a filter.
    ///
    /// # Errors
    /// [`ParseError`] for text that `tracing` does not understand.
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        let text = text.into();
        EnvFilter::builder().parse(&text)?;
        Ok(Self(text))
    }

    /// What went wrong, and that an embedded Postgres is being fetched, which takes its time.
    pub fn quiet() -> Self {
        Self("error,muster_sandbox::postgres=info".to_owned())
    }

    /// The layer that lets through what is asked for.
    pub(crate) fn layer(&self) -> EnvFilter {
        // What comes later goes before what comes earlier, and a longer target before a shorter one.
        EnvFilter::builder().parse(format!("{QUIETED},{}", self.0)).expect("a filter was parsed when it was made")
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
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
