//! The fields of a CA's request beside its certificates: what devices that register themselves get, and tags.
//!
//! The lengths and forms are those of AWS's API model. What AWS only asks for in words warns.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use crate::job::{RegisterCaCertificate, RegistrationConfig, Tag};

use super::{Field, Warning};

/// Most characters of a template's body.
const TEMPLATE_BODY_CHARS_MAX: usize = 10_240;

/// Characters of a role's ARN.
const ROLE_ARN_CHARS: (usize, usize) = (20, 2_048);

/// Characters of a template's name.
const TEMPLATE_NAME_CHARS: (usize, usize) = (1, 36);

/// Most tags of one CA.
const TAGS_MAX: usize = 50;

/// Characters of a tag's key.
const TAG_KEY_CHARS: (usize, usize) = (1, 128);

/// Most characters of a tag's value.
const TAG_VALUE_CHARS_MAX: usize = 256;

/// What keys and values begin with that are AWS's own.
const RESERVED: &str = "aws:";

/// A rule of AWS's that a field breaks. Its text tells lengths and places, never a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A text is too short or too long.
    #[error("{field} has {found} characters, {} to {} are taken", .taken.0, .taken.1)]
    Length {
        /// Which text.
        field: Field,
        /// Its length in characters.
        found: usize,
        /// The least and the greatest length.
        taken: (usize, usize),
    },
    /// A template's name has a character outside its set.
    #[error("{} has the character `{}`, only A-Z a-z 0-9 _ - are taken", Field::TemplateName, .found.escape_default())]
    TemplateName {
        /// The first such character.
        found: char,
    },
    /// A template is given in full and by name.
    #[error("registrationConfig has a templateBody and a templateName, one of them is taken")]
    TwoTemplates,
    /// There are more tags than AWS takes.
    #[error("tags has {found} entries, at most {TAGS_MAX} are taken")]
    TooManyTags {
        /// How many there are.
        found: usize,
    },
    /// A tag's key is AWS's own.
    #[error("{field} begins with {RESERVED}, which only AWS may write")]
    ReservedTagKey {
        /// Which key.
        field: Field,
    },
    /// Two tags have one key.
    #[error("{second} is the same as {first}, all keys must differ")]
    SameTagKey {
        /// The first of them.
        first: Field,
        /// The second.
        second: Field,
    },
}

impl ParameterError {
    /// What mends it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Length { found: 0, .. } => Some("leave the field out instead of sending an empty text"),
            Self::TwoTemplates => Some("leave one of the two out"),
            Self::ReservedTagKey { .. } | Self::SameTagKey { .. } => Some("give the tag another key"),
            _ => None,
        }
    }
}

/// Judges all fields beside the certificates, and returns what looks odd.
pub(super) fn judge(request: &RegisterCaCertificate) -> Result<Vec<Warning>, ParameterError> {
    let mut warnings = Vec::new();
    if let Some(config) = &request.registration_config {
        refuse_config(config)?;
        warnings.extend(odd_template(config));
    }
    refuse_tags(&request.tags)?;
    warnings.extend(odd_prefix(&request.tags));
    warnings.extend(odd_characters(&request.tags));
    Ok(warnings)
}

/// Refuses a text of a length outside the least and the greatest.
pub(super) fn refuse_length(field: Field, text: &str, taken: (usize, usize)) -> Result<(), ParameterError> {
    let found = text.chars().count();
    if (taken.0..=taken.1).contains(&found) { Ok(()) } else { Err(ParameterError::Length { field, found, taken }) }
}

fn refuse_config(config: &RegistrationConfig) -> Result<(), ParameterError> {
    if let Some(body) = &config.template_body {
        refuse_length(Field::TemplateBody, body, (0, TEMPLATE_BODY_CHARS_MAX))?;
    }
    if let Some(arn) = &config.role_arn {
        refuse_length(Field::RoleArn, arn, ROLE_ARN_CHARS)?;
    }
    let Some(name) = &config.template_name else { return Ok(()) };
    refuse_length(Field::TemplateName, name, TEMPLATE_NAME_CHARS)?;
    if let Some(found) = name.chars().find(|&c| !(c.is_ascii_alphanumeric() || "_-".contains(c))) {
        return Err(ParameterError::TemplateName { found });
    }
    // AWS takes an empty body, and nobody knows whether it counts as a template.
    let has_body = config.template_body.as_ref().is_some_and(|body| !body.is_empty());
    if has_body { Err(ParameterError::TwoTemplates) } else { Ok(()) }
}

/// A template by name brings its role along; one in full has none but this.
fn odd_template(config: &RegistrationConfig) -> impl Iterator<Item = Warning> {
    let body = config.template_body.as_deref();
    let is_json = body.is_none_or(|body| serde_json::from_str::<IgnoredAny>(body).is_ok());
    let lacks_role = body.is_some() && config.role_arn.is_none();
    let not_json = (!is_json).then_some(Warning::TemplateNotJson);
    not_json.into_iter().chain(lacks_role.then_some(Warning::RoleMissing))
}

fn refuse_tags(tags: &[Tag]) -> Result<(), ParameterError> {
    if tags.len() > TAGS_MAX {
        return Err(ParameterError::TooManyTags { found: tags.len() });
    }
    let mut seen = HashMap::new();
    for (at, tag) in tags.iter().enumerate() {
        let field = Field::TagKey(at);
        refuse_length(field, &tag.key, TAG_KEY_CHARS)?;
        refuse_length(Field::TagValue(at), tag.value.as_deref().unwrap_or_default(), (0, TAG_VALUE_CHARS_MAX))?;
        if tag.key.starts_with(RESERVED) {
            return Err(ParameterError::ReservedTagKey { field });
        }
        if let Some(first) = seen.insert(&tag.key, field) {
            return Err(ParameterError::SameTagKey { first, second: field });
        }
    }
    Ok(())
}

/// The texts of all tags.
fn texts(tags: &[Tag]) -> impl Iterator<Item = (Field, &str)> {
    tags.iter().enumerate().flat_map(|(at, tag)| {
        let value = tag.value.as_deref().map(|value| (Field::TagValue(at), value));
        [Some((Field::TagKey(at), tag.key.as_str())), value].into_iter().flatten()
    })
}

/// AWS keeps the prefix for itself, without saying whether in capitals or in values too.
fn odd_prefix(tags: &[Tag]) -> Option<Warning> {
    let is_odd = |text: &str| text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    texts(tags).find(|(_, text)| is_odd(text)).map(|(field, _)| Warning::TagPrefix { field })
}

/// AWS names letters, digits and spaces of every script, and some marks.
fn odd_characters(tags: &[Tag]) -> Option<Warning> {
    let is_space = |c: char| c.is_whitespace() && !c.is_control();
    let is_usual = |c: char| c.is_alphanumeric() || is_space(c) || "_.:/=+-@".contains(c);
    texts(tags).find(|(_, text)| !text.chars().all(is_usual)).map(|(field, _)| Warning::TagCharacters { field })
}
