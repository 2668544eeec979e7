//! Names given by operators and producers.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of characters in a [`Name`].
pub const NAME_MAX: usize = 128;

/// A name given by an operator or a producer: `[A-Za-z0-9._:/+@=-]{1,128}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._:/+@=-]{1,128}$"))]
pub struct Name(String);

/// Text with a character that a name cannot have, or with a length outside 1 to 128.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("a name has 1 to 128 characters of A-Z a-z 0-9 . _ : / + @ = -, found {found}")]
pub struct NameError {
    found: String,
}

impl Name {
    /// Wraps a name of Muster's own, which is known to be valid.
    pub(super) fn of(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:/+@=-".contains(c);
        if text.is_empty() || text.len() > NAME_MAX {
            return Err(NameError { found: format!("{} bytes", text.len()) });
        }
        match text.chars().find(|&c| !fits(c)) {
            None => Ok(Self(text)),
            Some(c) => Err(NameError { found: c.escape_default().to_string() }),
        }
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.to_owned().try_into()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
