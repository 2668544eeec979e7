//! Where log lines go: standard error, as text for people or as JSON for machines.
//!
//! An event is one line, whatever a certificate or a service put into it: control characters are escaped.

use std::fmt::{self, Debug, Write};
use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// What is logged: a filter that `tracing` understands, for example `muster=debug,warn`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filter(String);

impl Filter {
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
        Self("error,muster::postgres=info".to_owned())
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<String> for Filter {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        Self::new(text)
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.0
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error; only the first call of a process does something.
pub fn init(filter: &Filter, format: Format) {
    let filter = EnvFilter::builder().parse(&filter.0).expect("a filter was parsed when it was made");
    let with_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(with_colour);
    // A test may have set its own.
    let _ = match format {
        Format::Text => lines.fmt_fields(debug_fn(write_field).delimited(" ")).try_init(),
        Format::Json => lines.json().try_init(),
    };
}

/// Writes one field of a text line; the message has no name.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaping(writer), "{value:?}")
}

/// Escapes control characters on their way to a writer; the formatter's own escapes leave line ends through.
struct Escaping<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() { write!(self.0, "{}", c.escape_default())? } else { self.0.write_char(c)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_text_line_keeps_to_its_line() {
        let mut line = String::new();
        write!(Escaping(&mut Writer::new(&mut line)), "a\r\nERROR b\u{1b}[31m\u{9b}\0\tü").unwrap();
        assert_eq!(line, r"a\r\nERROR b\u{1b}[31m\u{9b}\u{0}\tü");
    }
}
