//! Distinguished names in DER: formatted, compared as RFC 5280 (7.1) requires, and searched for common names.
//!
//! Names are compared by their characters: the string type only determines how they are encoded.

use std::borrow::Cow;

use x509_parser::asn1_rs::Oid;
use x509_parser::objects::{oid_registry, oid2abbrev};

use super::der::{elements, tag};
use super::oid;

/// The tags of string types.
const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// Maximum size in bytes of a printed name. Names come from outside and end up in logs and tables.
const PRINTED_MAX: usize = 200;

/// Maximum size in bytes of a name that is parsed. Real names have some hundred bytes; thousands of attributes are
/// slow.
const READ_MAX: usize = 4096;

/// A name, normalised for comparison: equal for names that differ only in case, whitespace and string types.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NameKey(Box<[u8]>);

/// One attribute of a name.
struct Attribute<'a> {
    /// Index of the relative distinguished name that it is part of, from 0.
    relative_name: usize,
    kind: &'a [u8],
    /// The tag of its string type.
    tag: u8,
    value: &'a [u8],
}

/// Returns the attributes of a name in order, with `None` for anything that is not an attribute.
fn attributes(name: &[u8]) -> impl Iterator<Item = Option<Attribute<'_>>> {
    let relative_names = elements(name).take(1).flat_map(|name| elements(name.content)).enumerate();
    relative_names.flat_map(|(relative_name, set)| {
        elements(set.content).map(move |attribute| {
            if set.tag != tag::SET || attribute.tag != tag::SEQUENCE {
                return None;
            }
            let mut parts = elements(attribute.content);
            let kind = parts.next().filter(|kind| kind.tag == tag::OID)?;
            let value = parts.next()?;
            Some(Attribute { relative_name, kind: kind.content, tag: value.tag, value: value.content })
        })
    })
}

/// Formats a name: `CN=device 7, O=Plant`. Truncates it after 200 bytes, and escapes everything that is not plain text.
pub(super) fn printable(name: &[u8]) -> String {
    if name.len() > READ_MAX {
        return format!("(a name of {} bytes)", name.len());
    }
    if is_empty(name) {
        return "(empty)".to_owned();
    }
    let mut printed = String::new();
    for attribute in attributes(name).map_while(|attribute| attribute) {
        if !printed.is_empty() {
            printed.push_str(", ");
        }
        push_attribute(&mut printed, &attribute);
        if printed.len() > PRINTED_MAX {
            printed.truncate(printed.floor_char_boundary(PRINTED_MAX));
            return printed + "...";
        }
    }
    if printed.is_empty() { "(unreadable)".to_owned() } else { printed }
}

fn push_attribute(printed: &mut String, attribute: &Attribute<'_>) {
    let kind = Oid::new(Cow::Borrowed(attribute.kind));
    match oid2abbrev(&kind, oid_registry()) {
        Ok(abbreviation) => printed.push_str(abbreviation),
        Err(_) => printed.push_str(&oid::printable(&kind)),
    }
    printed.push('=');
    match attribute.text() {
        Some(text) => text.chars().take(PRINTED_MAX).for_each(|c| push_escaped(printed, c)),
        None => printed.extend(attribute.value.iter().take(PRINTED_MAX / 2).map(|byte| format!("{byte:02x}"))),
    }
}

/// Appends a character. Letters and digits of every script stay readable; line ends, control characters and direction
/// marks are escaped.
fn push_escaped(printed: &mut String, c: char) {
    match c {
        ',' | '+' | '"' | '\\' | '<' | '>' | ';' => printed.extend(['\\', c]),
        ' '..='~' => printed.push(c),
        _ if c.is_alphanumeric() => printed.push(c),
        _ => printed.extend(c.escape_unicode()),
    }
}

impl Attribute<'_> {
    /// Returns whether the value is text in which every byte is one ASCII character.
    fn is_ascii_text(&self) -> bool {
        matches!(
            self.tag,
            UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | VISIBLE_STRING
        ) && self.value.is_ascii()
    }

    /// Decodes the value from any encoding of a `DirectoryString` (RFC 5280, 4.1.2.4) or a related type.
    fn text(&self) -> Option<String> {
        match self.tag {
            UTF8_STRING => str::from_utf8(self.value).ok().map(str::to_owned),
            // Tools write UTF-8 or Latin-1 into types that allow less, and Latin-1 into T61String (OpenSSL reads it as
            // Latin-1).
            NUMERIC_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | VISIBLE_STRING => {
                Some(str::from_utf8(self.value).map_or_else(|_| latin1(self.value), str::to_owned))
            }
            UNIVERSAL_STRING => {
                let (chars, rest) = self.value.as_chunks();
                let text = chars.iter().copied().map(u32::from_be_bytes).map(char::from_u32).collect();
                rest.is_empty().then_some(text).flatten()
            }
            BMP_STRING => {
                let (units, rest) = self.value.as_chunks();
                let units: Vec<u16> = units.iter().copied().map(u16::from_be_bytes).collect();
                rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
            }
            _ => None,
        }
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Returns the common names in a name, unchanged. One that cannot be decoded is omitted.
pub(super) fn common_names(name: &[u8]) -> Vec<String> {
    if name.len() > READ_MAX {
        return Vec::new();
    }
    let common = attributes(name).flatten().filter(|attribute| attribute.kind == oid::COMMON_NAME);
    common.filter_map(|name| name.text()).collect()
}

/// Returns whether a name has no attributes.
pub(super) fn is_empty(name: &[u8]) -> bool {
    const EMPTY: [u8; 2] = [0x30, 0x00];
    name == EMPTY
}

/// Normalises a name for comparison: ignores case, whitespace and string types. A name that is too long to be parsed,
/// or that holds anything but attributes, is compared byte for byte.
pub(super) fn key(name: &[u8]) -> NameKey {
    // The two forms cannot collide: a normalised key starts with the zeros of an index, a name does not.
    folded(name).unwrap_or_else(|| NameKey(name.into()))
}

fn folded(name: &[u8]) -> Option<NameKey> {
    let mut key = Vec::with_capacity(2 * name.len());
    if name.len() <= READ_MAX {
        attributes(name).try_for_each(|attribute| attribute.map(|attribute| push_folded(&mut key, &attribute)))?;
    }
    (!key.is_empty()).then(|| NameKey(key.into()))
}

/// Appends index, kind and value, with lengths, so that two different names never have the same key.
fn push_folded(key: &mut Vec<u8>, attribute: &Attribute<'_>) {
    key.extend((attribute.relative_name as u64).to_be_bytes());
    key.extend((attribute.kind.len() as u64).to_be_bytes());
    key.extend_from_slice(attribute.kind);
    let before = key.len();
    key.extend(0_u64.to_be_bytes());
    let start = key.len();
    if attribute.is_ascii_text() {
        push_folded_ascii(key, attribute.value);
    } else {
        key.extend(attribute.text().map_or_else(|| attribute.value.to_vec(), |text| folded_text(&text)));
    }
    let length = (key.len() - start) as u64;
    key[before..start].copy_from_slice(&length.to_be_bytes());
}

fn folded_text(text: &str) -> Vec<u8> {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().into_bytes()
}

/// Does the same as `folded_text` for ASCII, which nearly all names are, without a copy for each step.
fn push_folded_ascii(key: &mut Vec<u8>, text: &[u8]) {
    let start = key.len();
    let mut has_gap = false;
    for &byte in text {
        // The ASCII characters at which `split_whitespace` splits.
        if matches!(byte, b'\t'..=b'\r' | b' ') {
            has_gap = key.len() > start;
        } else {
            if std::mem::take(&mut has_gap) {
                key.push(b' ');
            }
            key.push(byte.to_ascii_lowercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a name with one common name of the given string type.
    fn name(tag: u8, value: &[u8]) -> Vec<u8> {
        let tlv = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let attribute = [tlv(0x06, oid::COMMON_NAME), tlv(tag, value)].concat();
        tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
    }

    #[test]
    fn the_string_type_does_not_matter() {
        let utf8 = name(0x0c, "Gerät 7".as_bytes());
        let units: Vec<u8> = "Gerät 7".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let chars: Vec<u8> = "Gerät 7".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for other in [
            name(0x14, b"Ger\xe4t 7"),
            name(0x13, b"Ger\xe4t 7"),
            name(0x1e, &units),
            name(0x1c, &chars),
            name(0x0c, "GERÄT  7".as_bytes()),
        ] {
            assert!(key(&utf8) == key(&other), "{other:02x?}");
            assert_eq!(printable(&other).to_lowercase().replace("  ", " "), "cn=gerät 7");
        }
        assert!(key(&utf8) != key(&name(0x0c, "Gerät 8".as_bytes())));
    }

    #[test]
    fn ascii_is_folded_like_other_text() {
        for text in ["", " ", "a", " A  b ", "\tA\r\n B\x0b", "Plant CA 7", "a\x1cb"] {
            let mut key = Vec::new();
            push_folded_ascii(&mut key, text.as_bytes());
            assert_eq!(key, folded_text(text), "{text:?}");
        }
    }

    #[test]
    fn unreadable_names_are_compared_byte_for_byte() {
        let odd = name(0x1e, b"\xd8\x00");
        assert_eq!((printable(&odd).as_str(), common_names(&odd)), ("CN=d800", vec![]));
        let none = [0x30, 0x02, 0x05, 0x00];
        assert_eq!(printable(&none), "(unreadable)");
        assert!(key(&none) == key(&none) && key(&none) != key(&[0x30, 0x00]));
    }
}
