//! Where log lines go: standard error, as text for people or as JSON for machines.
//!
//! An event is one line, whatever a certificate or a service put into it: control characters are escaped. Logging never
//! blocks and never fails: `lines` queues what is logged, and one thread writes it; `repeats` counts equal lines. `ceiling`
//! keeps libraries from logging what they send and receive, whatever the filter asks for.

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

/// Longest wait for queued lines at the end of the process.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The look of a line.
#[derive(Clone, Copy, Debug, Default)]
struct LineStyle {
    format: LogFormat,
    has_colour: bool,
}

/// Sends log lines and panics to standard error; only the first call in a process has an effect.
pub fn init(filter: &LogFilter, format: LogFormat) {
    let has_colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let look = LineStyle { format, has_colour };
    lines::set_look(look);
    let subscriber = tracing_subscriber::registry().with(layer::<Registry, _>(look, lines::Sender));
    // A test may have set its own.
    if subscriber.with(ceiling::layer()).with(filter.layer()).try_init().is_ok() {
        std::panic::set_hook(Box::new(panics::log));
    }
}

/// Prints one line on standard error, as log lines are: it neither blocks nor fails.
pub fn say(line: &str) {
    lines::send(format!("{line}\n").into_bytes());
}

/// Waits until everything logged is written: at most one second.
pub fn flush() {
    lines::flush(FLUSH_MAX);
}

/// The same when it is dropped.
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

/// The layer that turns an event into one line.
fn layer<S, W>(look: LineStyle, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(look.has_colour);
    // The layer would report its own errors with `eprintln!`, which panics where standard error is gone.
    let layer = layer.log_internal_errors(false);
    match look.format {
        LogFormat::Text => layer.fmt_fields(debug_fn(write_field).delimited(" ")).boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
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
