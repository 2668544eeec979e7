//! Prints a command's result on standard output.
//!
//! A closed pipe, as after `head`, is not an error: the reader has enough, and the exit code still reports what the
//! command did. Any other write error, such as a full disk, is one.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;

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

/// Keys that were renamed, each with its old name. Version 0.2 prints both, so that scripts can follow.
const OLD_KEYS: [(&str, &str); 17] = [
    ("by_status", "ends"),
    ("by_status_and_code", "ends"),
    ("effect", "deed"),
    ("failed_cas", "not_in"),
    ("finished", "ended"),
    ("first_outcome_at", "first_end_at"),
    ("in_progress", "under_way"),
    ("last_outcome_at", "last_end_at"),
    ("not_jobs", "no_job"),
    ("outcome_at", "ended_at"),
    ("outcomes", "came_of_it"),
    ("quarantined_at", "set_aside_at"),
    ("requested_at", "asked_at"),
    ("requested_by", "asked_by"),
    ("resent_at", "sent_again_at"),
    ("succeeded", "good"),
    ("to_resend", "sent_again"),
];

/// Prints a value as indented JSON, with the old names of renamed keys.
///
/// # Errors
/// The value cannot be serialized, or as for [`print`].
pub(super) fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<StdoutReader> {
    let mut json = serde_json::to_value(value)?;
    add_old_keys(&mut json);
    Ok(print(serde_json::to_string_pretty(&json)? + "\n")?)
}

fn add_old_keys(json: &mut Value) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(add_old_keys),
        Value::Object(fields) => {
            fields.values_mut().for_each(add_old_keys);
            for (new, old) in OLD_KEYS {
                if let Some(value) = fields.get(new).cloned() {
                    fields.entry(old).or_insert(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Derives from the result of a write whether there is still a reader.
fn reader(written: io::Result<()>) -> Result<StdoutReader, Unwritable> {
    match written {
        Ok(()) => Ok(StdoutReader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(StdoutReader::Gone),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn renamed_keys_are_printed_under_both_names() {
        let mut json = json!({ "batches": [{ "finished": 7, "failed": 1 }], "finished": { "n": 2 } });
        add_old_keys(&mut json);
        let batch = json!({ "finished": 7, "failed": 1, "ended": 7 });
        assert_eq!(json, json!({ "batches": [batch], "finished": { "n": 2 }, "ended": { "n": 2 } }));
    }
}
