//! Errors in the settings: what was written, where, and what was probably meant.
//!
//! No error repeats the value of a setting that may be secret, or the line of the file that contains it.

use std::borrow::Cow;
use std::path::PathBuf;

use super::keys::{Path, ValueError};
use super::origin::Origin;
use super::similar::similar;
use muster_core::advice::{Advice, Exit};
use muster_core::job::Name;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where it is.
        place: Origin,
        /// The parser's message, without the line itself.
        message: String,
    },
    /// The key does not exist.
    #[error("unknown key `{key}` in {place}{}", suggestion(nearest.as_ref()))]
    UnknownKey {
        /// The key as written.
        key: Path,
        /// Where it is set.
        place: Origin,
        /// The key that was probably meant.
        nearest: Option<Path>,
    },
    /// A value was given for a table of keys.
    #[error("`{table}` in {place} is a table of keys, it has no value of its own")]
    Table {
        /// The table.
        table: Path,
        /// Where it is set.
        place: Origin,
    },
    /// The value is not valid for its key.
    #[error("`{key}` in {place}: {error}")]
    Value {
        /// The key.
        key: Path,
        /// Where it is set.
        place: Origin,
        /// What is wrong with the value.
        error: Box<ValueError>,
    },
    /// Two keys are set that exclude each other.
    #[error("`{one}` in {place} and `{other}` in {other_place} are both set: expected one of them")]
    Exclusive {
        /// One key.
        one: Path,
        /// Where it is set.
        place: Box<Origin>,
        /// The other key.
        other: Path,
        /// Where the other key is set.
        other_place: Box<Origin>,
    },
}

fn suggestion(nearest: Option<&Path>) -> String {
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

impl Advice for UnknownTarget {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let similar = similar(self.target.as_str(), &self.known);
        (!similar.is_empty()).then(|| format!("did you mean {}?", similar.join(" or ")).into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Advice for ConfigError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        matches!(self, Self::UnknownKey { nearest: None, .. })
            .then_some("`muster config template` prints every key".into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
