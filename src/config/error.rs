//! Why settings cannot be used: what was written, where, and what was probably meant.
//!
//! No error repeats the text of a setting that may be secret, nor the line of the file that it stands on.

use std::path::PathBuf;

use super::keys::{Path, ValueError};
use super::origin::Origin;
use super::similar::similar;
use muster_core::job::Name;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Origin,
        /// What the parser says; it does not repeat the line.
        message: String,
    },
    /// There is no such key.
    #[error("unknown key `{key}` in {place}{}", meant(nearest.as_ref()))]
    UnknownKey {
        /// What was written.
        key: Path,
        /// Where.
        place: Origin,
        /// What was probably meant.
        nearest: Option<Path>,
    },
    /// It is no key but a table of keys.
    #[error("`{table}` in {place} is a table of keys, it has no value of its own")]
    Table {
        /// The table.
        table: Path,
        /// Where.
        place: Origin,
    },
    /// The key cannot have this value.
    #[error("`{key}` in {place}: {error}")]
    Value {
        /// The key.
        key: Path,
        /// Where.
        place: Origin,
        /// What is wrong.
        error: Box<ValueError>,
    },
    /// Only one of two keys may be set.
    #[error("`{one}` in {place} and `{other}` in {other_place} are both set: expected one of them")]
    Exclusive {
        /// A key.
        one: Path,
        /// Where it is set.
        place: Box<Origin>,
        /// The other key.
        other: Path,
        /// Where that is set.
        other_place: Box<Origin>,
    },
}

fn meant(nearest: Option<&Path>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// A target that the settings do not have.
#[derive(Debug, thiserror::Error)]
#[error("target `{target}` is not in the settings, which have {}", .known.join(", "))]
pub struct UnknownTarget {
    /// The target.
    pub target: Name,
    /// Those that the settings have.
    pub known: Vec<String>,
}

impl UnknownTarget {
    /// What may have been meant.
    pub fn hint(&self) -> Option<String> {
        let similar = similar(self.target.as_str(), &self.known);
        (!similar.is_empty()).then(|| format!("did you mean {}?", similar.join(" or ")))
    }
}
