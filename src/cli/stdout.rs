//! Prints a command's result on standard output.
//!
//! A closed pipe, as after `head`, is not an error: the reader has enough, and the exit code still reports what the
//! command did. Any other write error, such as a full disk, is one.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// Whether standard output still has a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StdoutReader {
    /// It has one, as far as is known.
    There,
    /// The reader closed the pipe.
    Gone,
}

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct Unwritable(#[from] io::Error);

/// Prints a text without adding a newline.
///
/// # Errors
/// Standard output cannot be written, for a reason other than a closed pipe.
pub(super) fn print(text: impl Display) -> Result<StdoutReader, Unwritable> {
    reader(write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
}

/// Prints a value as indented JSON.
///
/// # Errors
/// The value cannot be serialized, or as for [`print`].
pub(super) fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<StdoutReader> {
    Ok(print(serde_json::to_string_pretty(value)? + "\n")?)
}

/// Derives from the result of a write whether there is still a reader.
fn reader(written: io::Result<()>) -> Result<StdoutReader, Unwritable> {
    match written {
        Ok(()) => Ok(StdoutReader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(StdoutReader::Gone),
        Err(error) => Err(error.into()),
    }
}
