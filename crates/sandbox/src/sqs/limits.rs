//! The limits of SQS: batch size, entry ids, characters, sizes and times.

use std::collections::HashSet;
use std::time::Duration;

use super::message::MessageAttributes;
use super::{BatchEntry, error};
use crate::answer::AwsError;

/// Maximum number of entries in a batch call.
const ENTRIES_MAX: usize = 10;

/// Maximum visibility timeout, and maximum time that a message stays hidden after a receive, in seconds.
pub(super) const VISIBILITY_MAX: u64 = 43_200;

/// Maximum length of an entry id, in bytes.
const ENTRY_ID_MAX: usize = 80;

/// Maximum length of a message group id, in bytes.
const GROUP_MAX: usize = 128;

/// Maximum number of attributes of a message.
const ATTRIBUTES_MAX: usize = 10;

/// Checks the number of entries in a batch call, and their ids.
pub(super) fn check_entries(entries: &[impl BatchEntry]) -> Result<(), AwsError> {
    match entries.len() {
        0 => return Err(error::empty_batch()),
        1..=ENTRIES_MAX => {}
        n => return Err(error::too_many_entries(n)),
    }
    let mut seen = HashSet::new();
    for id in entries.iter().map(BatchEntry::id) {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.is_empty() || id.len() > ENTRY_ID_MAX || !id.bytes().all(fits) {
            return Err(error::invalid_entry_id());
        }
        if !seen.insert(id) {
            return Err(error::repeated_entry_id(id));
        }
    }
    Ok(())
}

/// Checks a message body: not empty, and only characters that XML 1.0 allows.
pub(super) fn check_text(body: &str) -> Result<(), AwsError> {
    if body.is_empty() {
        return Err(error::missing_parameter("MessageBody"));
    }
    if body.chars().all(is_xml) { Ok(()) } else { Err(error::invalid_characters()) }
}

/// Returns whether XML 1.0 allows the character.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Checks a message's size against the queue's maximum, in bytes.
pub(super) fn check_size(size: usize, max: u64) -> Result<(), AwsError> {
    if size as u64 <= max {
        return Ok(());
    }
    Err(error::invalid_parameter(format!(
        "One or more parameters are invalid. Reason: Message must be shorter than {max} bytes."
    )))
}

/// Checks message attributes: at most ten, each with a type and one value.
pub(super) fn check_attributes(attributes: &MessageAttributes) -> Result<(), AwsError> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(error::invalid_parameter(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [10].",
            attributes.len()
        )));
    }
    for (name, attribute) in attributes {
        let kind = attribute.data_type.split('.').next().unwrap_or_default();
        let has_value = match kind {
            "String" | "Number" => attribute.string_value.as_deref().is_some_and(|text| !text.is_empty()),
            "Binary" => attribute.binary_value.is_some(),
            _ => false,
        };
        if !has_value {
            return Err(error::invalid_parameter(format!(
                "The message attribute '{name}' must have a type and a value of that type."
            )));
        }
    }
    Ok(())
}

/// Returns the size of a message in bytes: its body, and the names, types and values of its attributes.
pub(super) fn size_of(body: &str, attributes: Option<&MessageAttributes>) -> usize {
    let attributes = attributes.into_iter().flatten().map(|(name, attribute)| {
        let text = attribute.string_value.as_ref().map_or(0, String::len);
        let binary = attribute.binary_value.as_ref().map_or(0, |base64| base64.len() / 4 * 3);
        name.len() + attribute.data_type.len() + text + binary
    });
    body.len() + attributes.sum::<usize>()
}

/// Checks a message group id: 1 to 128 printable ASCII characters without spaces.
pub(super) fn check_group(group: &str) -> Result<(), AwsError> {
    if (1..=GROUP_MAX).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(error::invalid_parameter(
        "Value for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and \
         punctuation characters. 1 to 128 in length.",
    ))
}

/// Converts a number of seconds, which must be from 0 to `high`.
pub(super) fn seconds(name: &str, value: i64, high: u64) -> Result<Duration, AwsError> {
    let out_of_range = || error::out_of_range(name, value, 0, i64::try_from(high).unwrap_or(i64::MAX));
    u64::try_from(value).ok().filter(|&value| value <= high).map(Duration::from_secs).ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl BatchEntry for &str {
        fn id(&self) -> &str {
            self
        }
    }

    fn code(ids: &[&str]) -> String {
        check_entries(ids).expect_err("an invalid batch").code.into_owned()
    }

    #[test]
    fn a_batch_has_one_to_ten_entries_with_distinct_plain_ids() {
        assert!(check_entries(&["a", "A-_9"]).is_ok());
        assert_eq!(code(&[]), "EmptyBatchRequest");
        assert_eq!(code(&["a"; 11]), "TooManyEntriesInBatchRequest");
        assert_eq!(code(&["a", "b", "a"]), "BatchEntryIdsNotDistinct");
        assert_eq!(code(&["a.b"]), "InvalidBatchEntryId");
        assert_eq!(code(&[&"a".repeat(81)]), "InvalidBatchEntryId");
    }

    #[test]
    fn text_has_only_xml_characters() {
        assert!(check_text("tab\t, ümlaut, \u{1f511}, \u{fffd}").is_ok());
        for bad in ["\0", "\u{b}", "a\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert_eq!(check_text(bad).expect_err("not XML").code, "InvalidMessageContents");
        }
        assert_eq!(check_text("").expect_err("no text").query_code(), "MissingParameter");
    }

    #[test]
    fn seconds_stay_in_their_range() {
        assert_eq!(seconds("VisibilityTimeout", 43_200, 43_200).unwrap(), Duration::from_hours(12));
        assert!(seconds("VisibilityTimeout", 43_201, 43_200).is_err());
        assert!(seconds("VisibilityTimeout", -1, 43_200).is_err());
    }

    #[test]
    fn a_group_has_1_to_128_characters_without_spaces() {
        assert!(check_group("plant-3/line-7").is_ok());
        assert!(check_group("").is_err() && check_group("a b").is_err() && check_group(&"x".repeat(129)).is_err());
    }
}
