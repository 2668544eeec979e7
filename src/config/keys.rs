//! The keys of the settings with their comment, default and kind, read from the JSON Schema of the structs.
//!
//! There is no second list to keep up to date. A `*` in a path stands for any target name.

use std::fmt;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use toml::Value;

use super::Config;

/// The part of a path that stands for any target name.
const ANY: &str = "*";

/// Minimum similarity, from 0 to 1, for a known key to be suggested in place of an unknown one.
const LIKENESS_MIN: f64 = 0.6;

/// The path of a key: its sections, then its name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Path(pub Vec<String>);

/// A table of the settings file.
#[derive(Debug)]
pub struct Section {
    /// Its path.
    pub path: Path,
    /// What the table is for.
    pub comment: String,
    /// Its keys, in the order of the struct.
    pub keys: Vec<SettingKey>,
}

/// A key of the settings file.
#[derive(Debug)]
pub struct SettingKey {
    /// Its path.
    pub path: Path,
    /// What the key is for, in one line.
    pub comment: String,
    /// Its default; null if it has none.
    pub default: Json,
    /// A value to show if it has no default.
    pub example: Json,
    /// The kind of its value.
    pub kind: SettingKind,
}

/// The kind of value that a key takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SettingKind {
    /// A string, which the struct may restrict further.
    Text,
    /// A whole number.
    Integer {
        /// Minimum, inclusive.
        min: i64,
        /// Maximum, inclusive.
        max: i64,
    },
    /// A number.
    Number,
}

/// Why a value is not valid for its key.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is of the wrong kind.
    #[error("expected {wanted}, found {found}")]
    Kind {
        /// The expected kind.
        wanted: &'static str,
        /// The value found. If text was expected, only its type, because the value may be secret.
        found: String,
    },
    /// It is an empty string.
    #[error("expected text, found an empty string")]
    Empty,
    /// It is out of range.
    #[error("expected {min} to {max}, found {found}")]
    Range {
        /// Minimum, inclusive.
        min: i64,
        /// Maximum, inclusive.
        max: i64,
        /// The value found.
        found: i64,
    },
    /// Its struct rejects it.
    #[error("{}", .0.message())]
    Refused(toml::de::Error),
}

/// Returns all tables of the settings file, in the order of the structs.
pub fn sections() -> &'static [Section] {
    static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Config>();
        let mut sections = Vec::new();
        read(&Path(vec![]), schema.as_value(), &mut sections);
        sections
    });
    &SECTIONS
}

/// Returns all keys, in the order of the structs.
pub fn keys() -> impl Iterator<Item = &'static SettingKey> {
    sections().iter().flat_map(|section| &section.keys)
}

/// Finds the key of a path. The path may have a target name where the path of the key has a `*`.
pub fn find(path: &Path) -> Option<&'static SettingKey> {
    keys().find(|key| key.path.covers(path))
}

/// Returns whether a table can have this path.
pub fn is_section(path: &Path) -> bool {
    let starts = |section: &Section| Path(section.path.0.iter().take(path.0.len()).cloned().collect()).covers(path);
    sections().iter().any(starts)
}

/// Returns the key or table that was probably meant.
pub fn nearest(unknown: &Path) -> Option<Path> {
    let written = unknown.to_string();
    let sections = sections().iter().map(|section| section.path.without_wildcard());
    let known = sections.chain(keys().map(|key| key.path.clone())).map(|path| path.named_as(unknown));
    let rated = known.map(|path| (likeness(&path.to_string(), &written), path));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, path)| path)
}

/// Returns the similarity of two keys, from 0 to 1. The right name in the wrong section scores at least 0.9.
fn likeness(known: &str, written: &str) -> f64 {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let full = strsim::normalized_damerau_levenshtein(known, written);
    full.max(0.9 * strsim::normalized_damerau_levenshtein(&name(known), &name(written)))
}

impl Path {
    /// Parses a dotted path. It cannot express a target whose name contains a dot.
    pub fn dotted(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// Returns the path of an entry in this table.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self(self.0.iter().map(String::as_str).chain([name]).map(str::to_owned).collect())
    }

    /// Returns this path with its `*` replaced by a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self(self.0.iter().map(|part| if part == ANY { name } else { part }.to_owned()).collect())
    }

    /// Returns whether this path contains a `*`, which stands for a target name.
    pub fn has_wildcard(&self) -> bool {
        self.0.iter().any(|part| part == ANY)
    }

    /// Returns whether this path equals the other one if its `*` may be any name.
    fn covers(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(mine, other)| mine == ANY || mine == other)
    }

    /// Returns the path without a trailing `*`: the table that contains the named tables.
    fn without_wildcard(&self) -> Self {
        let is_any = self.0.last().is_some_and(|part| part == ANY);
        Self(self.0[..self.0.len() - usize::from(is_any)].to_vec())
    }

    /// Returns this path with its `*` replaced by the other path's name, if both are in the same table.
    fn named_as(&self, other: &Self) -> Self {
        let place = self.0.iter().position(|part| part == ANY);
        let place = place.filter(|&place| other.0.get(..place) == self.0.get(..place));
        let name = place.and_then(|place| other.0.get(place));
        name.map_or_else(|| self.clone(), |name| self.named(name))
    }
}

/// Writes a path as TOML does.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "_-*".contains(c));
        for (i, part) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            if is_bare(part) { write!(f, "{dot}{part}")? } else { write!(f, "{dot}{}", Value::from(part.as_str()))? }
        }
        Ok(())
    }
}

impl SettingKind {
    /// Converts text from a variable or a flag to a value: text is kept as it is, everything else is parsed as TOML.
    pub fn read(self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        if self == Self::Text { as_text() } else { text.parse().unwrap_or_else(|_| as_text()) }
    }

    /// Checks that a value is of this kind.
    ///
    /// # Errors
    /// [`ValueError`] if the value is of another kind, an empty string or a number out of range.
    pub fn check(self, value: &Value) -> Result<(), ValueError> {
        match (self, value) {
            (Self::Text, Value::String(text)) if text.is_empty() => Err(ValueError::Empty),
            (Self::Text, Value::String(_)) | (Self::Number, Value::Integer(_) | Value::Float(_)) => Ok(()),
            (Self::Text, other) => {
                Err(ValueError::Kind { wanted: "text in quotes", found: format!("a TOML {}", other.type_str()) })
            }
            (Self::Integer { min, max }, &Value::Integer(found)) if (min..=max).contains(&found) => Ok(()),
            (Self::Integer { min, max }, &Value::Integer(found)) => Err(ValueError::Range { min, max, found }),
            (Self::Integer { .. }, other) => {
                Err(ValueError::Kind { wanted: "a whole number", found: other.to_string() })
            }
            (Self::Number, other) => Err(ValueError::Kind { wanted: "a number", found: other.to_string() }),
        }
    }
}

/// Appends the section of an object's schema, then those of its nested objects.
fn read(path: &Path, schema: &Json, sections: &mut Vec<Section>) {
    let place = sections.len();
    sections.push(Section { path: path.clone(), comment: comment(schema), keys: vec![] });
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = path.join(name);
        if property["properties"].is_object() {
            read(&path, property, sections);
        } else if property["additionalProperties"].is_object() {
            let mut named = property["additionalProperties"].clone();
            named["description"] = property["description"].clone();
            read(&path.join(ANY), &named, sections);
        } else {
            sections[place].keys.push(SettingKey {
                path,
                comment: comment(property),
                default: property["default"].clone(),
                example: property["examples"][0].clone(),
                kind: kind(property),
            });
        }
    }
}

/// Returns the doc comment, in one line.
fn comment(schema: &Json) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kind(schema: &Json) -> SettingKind {
    match schema["type"].as_str() {
        Some("integer") => SettingKind::Integer {
            min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
            max: schema["maximum"].as_i64().unwrap_or(u32::MAX.into()),
        },
        Some("number") => SettingKind::Number,
        _ => SettingKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(written: &str) -> Option<String> {
        nearest(&Path::dotted(written)).map(|path| path.to_string())
    }

    #[test]
    fn a_key_has_the_comment_and_default_of_its_struct() {
        let key = find(&Path::dotted("worker.slots")).unwrap();
        assert!(key.comment.starts_with("Maximum number of messages"), "{}", key.comment);
        assert_eq!(key.default, 1024);
        assert_eq!(key.kind, SettingKind::Integer { min: 1, max: 120_000 });
        let rate = find(&Path::dotted("targets.eu.rates.register_certificate")).unwrap();
        assert_eq!((&rate.default, rate.kind), (&Json::from(10.0), SettingKind::Number));
    }

    #[test]
    fn every_key_and_section_has_a_comment() {
        for key in keys() {
            assert!(!key.comment.is_empty(), "{}", key.path);
            assert!(!(key.default.is_null() && key.example.is_null()), "{} has no default and no example", key.path);
        }
        assert!(sections().iter().all(|section| !section.comment.is_empty()));
    }

    #[test]
    fn a_misspelt_key_gets_a_suggestion() {
        assert_eq!(guess("queue.nmae").as_deref(), Some("queue.name"));
        assert_eq!(guess("databse").as_deref(), Some("database"));
        assert_eq!(guess("target").as_deref(), Some("targets"));
        assert_eq!(guess("slots").as_deref(), Some("worker.slots"));
        assert_eq!(guess("retry.max_attempts").as_deref(), Some("retry.attempts"));
        assert_eq!(guess("targets.eu.regoin").as_deref(), Some("targets.eu.region"));
        assert_eq!(guess("colour.of.the.sky"), None);
    }

    #[test]
    fn a_wrong_kind_is_rejected_without_repeating_text() {
        let refused = |kind: SettingKind, text: &str| kind.check(&text.parse().unwrap()).unwrap_err().to_string();
        let slots = SettingKind::Integer { min: 1, max: 9 };
        assert_eq!(refused(slots, "0"), "expected 1 to 9, found 0");
        assert_eq!(refused(slots, "2.5"), "expected a whole number, found 2.5");
        assert_eq!(refused(SettingKind::Number, "\"ten\""), "expected a number, found \"ten\"");
        assert_eq!(refused(SettingKind::Text, "[\"secret\"]"), "expected text in quotes, found a TOML array");
        assert_eq!(refused(SettingKind::Text, "\"\""), "expected text, found an empty string");
    }
}
