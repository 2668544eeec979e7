//! What a command prints as its result, on standard output.
//!
//! A reader that goes away, as `head` does, is no error: nobody wants the rest, and the exit code says what the command did.
//! Output that cannot be written, as on a full disk, is one.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// Whether somebody reads what is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StdoutReader {
    /// As far as is known, somebody does.
    There,
    /// The reader went away.
    Gone,
}

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct Unwritable(#[from] io::Error);

/// Prints a text, without a line end of its own.
///
/// # Errors
/// Standard output cannot be written, for another reason than that its reader is gone.
pub(super) fn print(text: impl Display) -> Result<StdoutReader, Unwritable> {
    reader(write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
}

/// Prints a value as JSON on several lines.
///
/// # Errors
/// The value has no form in JSON, or as for [`print`].
pub(super) fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<StdoutReader> {
    Ok(print(serde_json::to_string_pretty(value)? + "\n")?)
}

/// Whether somebody reads, by what came of writing.
fn reader(written: io::Result<()>) -> Result<StdoutReader, Unwritable> {
    match written {
        Ok(()) => Ok(StdoutReader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(StdoutReader::Gone),
        Err(error) => Err(error.into()),
    }
}
