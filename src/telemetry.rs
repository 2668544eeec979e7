//! Log lines on standard error, as text for people or JSON for machines, and the metrics.
//!
//! An event is always exactly one line: control characters from a certificate or a service are escaped. Logging never
//! blocks and never fails: `lines` queues the lines and one thread writes them; `repeats` counts equal lines. `ceiling`
//! keeps libraries from logging what they send and receive, whatever the filter asks for.
//!
//! May use: [`config`](crate::config), [`ledger`](crate::ledger), [`aws`](crate::aws) (for the labels of errors). Must not
//! know: permits, breakers, jobs.

mod ceiling;
mod lines;
pub mod metrics;
mod panics;
mod repeats;

use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::log::{LogFilter, LogFormat};
pub use lines::lost;

/// Maximum wait for queued lines when the process exits.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The style of a line.
#[derive(Clone, Copy, Debug, Default)]
struct LineStyle {
    format: LogFormat,
    has_colour: bool,
}

/// Sends log lines and panics to standard error. Only the first call in a process has an effect.
pub fn init(filter: &LogFilter, format: LogFormat) {
    let has_colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = LineStyle { format, has_colour };
    lines::set_style(style);
    let subscriber = tracing_subscriber::registry().with(layer::<Registry, _>(style, lines::Sender));
    // A test may have set its own subscriber.
    if subscriber.with(ceiling::layer()).with(filter.layer()).try_init().is_ok() {
        std::panic::set_hook(Box::new(panics::log));
    }
}

/// Prints one line on standard error. Like a log line, it neither blocks nor fails.
pub fn say(line: &str) {
    lines::send(format!("{line}\n").into_bytes());
}

/// Waits until everything logged is written, but at most one second.
pub fn flush() {
    lines::flush(FLUSH_MAX);
}

/// Calls [`flush`] when it is dropped.
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

/// Returns the layer that formats an event as one line.
fn layer<S, W>(style: LineStyle, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(style.has_colour);
    // The layer would report its own errors with `eprintln!`, which panics if standard error is closed.
    let layer = layer.log_internal_errors(false);
    match style.format {
        LogFormat::Text => layer.fmt_fields(debug_fn(write_field).delimited(" ")).boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}

/// Writes one field of a text line. The message is written without its name.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaping(writer), "{value:?}")
}

/// Escapes control characters on their way to a writer. The formatter's own escaping lets line breaks through.
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
    fn control_characters_in_a_text_field_are_escaped() {
        let mut line = String::new();
        write!(Escaping(&mut Writer::new(&mut line)), "a\r\nERROR b\u{1b}[31m\u{9b}\0\tü").unwrap();
        assert_eq!(line, r"a\r\nERROR b\u{1b}[31m\u{9b}\u{0}\tü");
    }
}
