//! Checks the fields of a CA's request other than its certificates: what devices that register themselves get, and
//! tags.
//!
//! The lengths and formats are those of AWS's API model. Breaking a rule that AWS states only in prose leads to a
//! warning.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use crate::job::{RegisterCaCertificate, RegistrationConfig, Tag};

use super::{Field, Warning};

/// Maximum number of characters in a template's body.
const TEMPLATE_BODY_CHARS_MAX: usize = 10_240;

/// Minimum and maximum number of characters in a role's ARN.
const ROLE_ARN_CHARS: (usize, usize) = (20, 2_048);

/// Minimum and maximum number of characters in a template's name.
const TEMPLATE_NAME_CHARS: (usize, usize) = (1, 36);

/// Maximum number of tags on one CA.
const TAGS_MAX: usize = 50;

/// Minimum and maximum number of characters in a tag's key.
const TAG_KEY_CHARS: (usize, usize) = (1, 128);

/// Maximum number of characters in a tag's value.
const TAG_VALUE_CHARS_MAX: usize = 256;

/// The prefix of keys and values that is reserved for AWS.
const RESERVED: &str = "aws:";

/// An AWS rule that a field breaks. Its message contains lengths and positions, never a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A text is too short or too long.
    #[error("{field} has {found} characters, AWS accepts {} to {}", .accepted.0, .accepted.1)]
    Length {
        /// The field.
        field: Field,
        /// Its length in characters.
        found: usize,
        /// The minimum and maximum length.
        accepted: (usize, usize),
    },
    /// A template's name has a character that AWS does not accept.
    #[error("{} has the character `{}`, AWS accepts only A-Za-z0-9_-", Field::TemplateName, .found.escape_default())]
    TemplateName {
        /// The first such character.
        found: char,
    },
    /// A template is given both in full and by name.
    #[error("registrationConfig has a templateBody and a templateName, AWS accepts only one of them")]
    TwoTemplates,
    /// There are more tags than AWS accepts.
    #[error("tags has {found} entries, AWS accepts at most {TAGS_MAX}")]
    TooManyTags {
        /// Number of tags.
        found: usize,
    },
    /// A tag's key has the prefix that is reserved for AWS.
    #[error("{field} begins with {RESERVED}, which is reserved for AWS")]
    ReservedTagKey {
        /// The key.
        field: Field,
    },
    /// Two tags have the same key.
    #[error("{second} is the same as {first}, all keys must differ")]
    SameTagKey {
        /// The first of them.
        first: Field,
        /// The second.
        second: Field,
    },
}

impl ParameterError {
    /// How to fix it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Length { found: 0, .. } => Some("leave the field out instead of sending an empty text"),
            Self::TwoTemplates => Some("leave one of the two out"),
            Self::ReservedTagKey { .. } | Self::SameTagKey { .. } => Some("give the tag another key"),
            _ => None,
        }
    }
}

/// Checks all fields other than the certificates, and returns warnings about what looks unusual.
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

/// Refuses a text that is shorter than the minimum or longer than the maximum.
pub(super) fn refuse_length(field: Field, text: &str, accepted: (usize, usize)) -> Result<(), ParameterError> {
    let found = text.chars().count();
    if (accepted.0..=accepted.1).contains(&found) {
        Ok(())
    } else {
        Err(ParameterError::Length { field, found, accepted })
    }
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
    // AWS accepts an empty body, and it is not known whether it counts as a template.
    let has_body = config.template_body.as_ref().is_some_and(|body| !body.is_empty());
    if has_body { Err(ParameterError::TwoTemplates) } else { Ok(()) }
}

/// Warns about a template that is not JSON or has no role. A template given by name has its own role; one given in full
/// has only the role in the request.
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

/// Warns about the reserved prefix in any case, and in values: AWS does not document whether these are reserved too.
fn odd_prefix(tags: &[Tag]) -> Option<Warning> {
    let is_odd = |text: &str| text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    texts(tags).find(|(_, text)| is_odd(text)).map(|(field, _)| Warning::TagPrefix { field })
}

/// Warns about characters that AWS does not list: it lists letters, digits and spaces of every script, and some
/// punctuation.
fn odd_characters(tags: &[Tag]) -> Option<Warning> {
    let is_space = |c: char| c.is_whitespace() && !c.is_control();
    let is_usual = |c: char| c.is_alphanumeric() || is_space(c) || "_.:/=+-@".contains(c);
    texts(tags).find(|(_, text)| !text.chars().all(is_usual)).map(|(field, _)| Warning::TagCharacters { field })
}
