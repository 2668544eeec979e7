//! Distinguished names in DER: printed for people, compared as RFC 5280 (7.1) asks, and asked for their common names.

use x509_parser::asn1_rs::{FromDer, Tag};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::oid;

/// Most characters of a printed name. Names come from outside and land in logs and tables.
const PRINTED_MAX: usize = 200;

/// Most bytes of a name that is taken to pieces. Honest names have some hundred; thousands of attributes take long.
const READ_MAX: usize = 4096;

/// Prints a name: `CN=device 7, O=Plant`. It is cut after 200 characters, and whatever is not plain text is escaped.
pub(super) fn printable(name: &[u8]) -> String {
    if name.len() > READ_MAX {
        return format!("(a name of {} bytes)", name.len());
    }
    let Ok((_, name)) = X509Name::from_der(name) else { return "(unreadable)".to_owned() };
    let mut printed = String::new();
    for attribute in name.iter_attributes() {
        if !printed.is_empty() {
            printed.push_str(", ");
        }
        push_attribute(&mut printed, attribute);
        if printed.len() > PRINTED_MAX {
            printed.truncate(printed.floor_char_boundary(PRINTED_MAX));
            return printed + "...";
        }
    }
    if printed.is_empty() { "(empty)".to_owned() } else { printed }
}

fn push_attribute(printed: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(abbreviation) => printed.push_str(abbreviation),
        Err(_) => printed.push_str(&oid::printable(attribute.attr_type())),
    }
    printed.push('=');
    if let Ok(text) = attribute.as_str() {
        text.chars().take(PRINTED_MAX).for_each(|c| push_escaped(printed, c));
    } else {
        printed.push_str(&hex::encode(attribute.as_slice()));
    }
}

/// Letters and digits of every script stay readable; line ends, control and direction marks do not get through.
fn push_escaped(printed: &mut String, c: char) {
    match c {
        ',' | '+' | '"' | '\\' | '<' | '>' | ';' => printed.extend(['\\', c]),
        ' '..='~' => printed.push(c),
        _ if c.is_alphanumeric() => printed.push(c),
        _ => printed.extend(c.escape_unicode()),
    }
}

/// The common names in a name, each as it stands there. One in an encoding that nobody uses is left out.
pub(super) fn common_names(name: &[u8]) -> Vec<String> {
    if name.len() > READ_MAX {
        return Vec::new();
    }
    let Ok((_, name)) = X509Name::from_der(name) else { return Vec::new() };
    let attributes = name.iter_attributes().filter(|attribute| attribute.attr_type().as_bytes() == oid::COMMON_NAME);
    attributes.filter_map(text).collect()
}

/// The value of an attribute in any of the encodings of a `DirectoryString` (RFC 5280, 4.1.2.4) that are in use.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let bytes = attribute.as_slice();
    match attribute.attr_value().tag() {
        Tag::TeletexString if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
        Tag::BmpString => {
            let (units, rest) = bytes.as_chunks();
            let units: Vec<u16> = units.iter().copied().map(u16::from_be_bytes).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        _ => attribute.as_str().ok().map(str::to_owned),
    }
}

/// Says whether a name has no attribute.
pub(super) fn is_empty(name: &[u8]) -> bool {
    X509Name::from_der(name).is_ok_and(|(_, name)| name.iter_rdn().next().is_none())
}

/// Compares two names: equal bytes, or equal attributes when case, spaces and the type of string are left aside.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    if one == other || one.len().max(other.len()) > READ_MAX {
        return one == other;
    }
    matches!((folded(one), folded(other)), (Some(one), Some(other)) if one == other)
}

/// One attribute of a name, as it is compared.
#[derive(PartialEq)]
struct Folded {
    relative_name: usize,
    kind: Vec<u8>,
    value: Vec<u8>,
}

fn folded(name: &[u8]) -> Option<Vec<Folded>> {
    let (_, name) = X509Name::from_der(name).ok()?;
    let relative_names = name.iter_rdn().enumerate();
    let attributes =
        relative_names.flat_map(|(relative_name, names)| names.iter().map(move |name| (relative_name, name)));
    let fold = |(relative_name, name): (usize, &AttributeTypeAndValue<'_>)| Folded {
        relative_name,
        kind: name.attr_type().as_bytes().to_vec(),
        value: folded_value(name),
    };
    Some(attributes.map(fold).collect())
}

fn folded_value(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    match attribute.as_str() {
        Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().into_bytes(),
        Err(_) => attribute.as_slice().to_vec(),
    }
}
