//! Finds the BEGIN and END markers of PEM, exact and damaged.
//!
//! Invariant: everything that a person would call a marker of a certificate or a private key is found, even with too
//! few or different dashes, in lower case, or on the same line as the next. One scan goes from keyword to keyword and
//! examines a bounded range around each.

use std::borrow::Cow;

use super::CERTIFICATE;

/// Maximum number of characters in a label; a longer one is text that looks like a marker.
const LABEL_MAX: usize = 64;

/// Maximum number of bytes before the keyword that count as its dashes.
const LEAD_MAX: usize = 64;

/// The dashes of an exact marker, on either side.
pub(super) const DASHES: &str = "-----";

/// Number of dashes on either side of an exact marker.
const DASHES_MIN: usize = DASHES.len();

/// What a block holds, according to the label of its markers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BlockKind {
    /// A certificate.
    Certificate,
    /// A certificate followed by OpenSSL's trust settings.
    TrustedCertificate,
    /// A certificate signing request.
    Request,
    /// A container of certificates: PKCS #7, CMS or PKCS #12.
    Container,
    /// A private key.
    PrivateKey,
    /// Something that is known not to be a certificate: parameters, a public key, a revocation list.
    Other,
    /// Something unknown.
    Unknown,
}

/// A BEGIN or END marker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker<'a> {
    /// Where its dashes begin, as a byte offset in the text.
    pub(super) start: usize,
    /// Where its dashes end.
    pub(super) end: usize,
    pub(super) is_begin: bool,
    pub(super) label: &'a str,
    pub(super) kind: BlockKind,
    /// Whether it is written as RFC 7468 (2) requires.
    pub(super) is_exact: bool,
}

/// Finds the markers of a text, in order.
pub(super) fn markers(text: &str) -> impl Iterator<Item = Marker<'_>> {
    let (mut from, mut floor) = (0, 0);
    std::iter::from_fn(move || {
        loop {
            let (at, keyword) = next_keyword(text, from)?;
            from = at + keyword.len();
            if let Some(marker) = marker_at(text, at, keyword, floor) {
                (from, floor) = (marker.end, marker.end);
                return Some(marker);
            }
        }
    })
}

const BEGIN: &str = "BEGIN";
const END: &str = "END";

/// Finds the next BEGIN or END, ignoring case.
fn next_keyword(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += bytes[at..].iter().position(|byte| matches!(byte, b'B' | b'b' | b'E' | b'e'))?;
        if let Some(keyword) = keyword_of(&bytes[at..]) {
            return Some((at, keyword));
        }
        at += 1;
    }
}

fn keyword_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'B' | b'b', b'E' | b'e', b'G' | b'g', b'I' | b'i', b'N' | b'n', ..] => Some(BEGIN),
        [b'E' | b'e', b'N' | b'n', b'D' | b'd', ..] => Some(END),
        _ => None,
    }
}

/// Reads the marker of a keyword; `floor` is where the marker before it ends.
fn marker_at<'a>(text: &'a str, at: usize, keyword: &str, floor: usize) -> Option<Marker<'a>> {
    exact_marker_at(text, at, keyword, floor).or_else(|| damaged_marker_at(text, at, keyword, floor))
}

/// Reads a marker as RFC 7468 (2) defines it: five dashes, the keyword, a space, a label in capitals, five dashes.
fn exact_marker_at<'a>(text: &'a str, at: usize, keyword: &str, floor: usize) -> Option<Marker<'a>> {
    if !(text[floor..at].ends_with(DASHES) && text[at..].starts_with(keyword)) {
        return None;
    }
    let rest = text[at + keyword.len()..].strip_prefix(' ')?;
    let label = exact_label(rest)?;
    let label_end = at + keyword.len() + 1 + label.len();
    let n_trail = n_trail_dashes(&rest[label.len()..]);
    let (start, end) = (at - DASHES.len(), label_end + n_trail);
    let kind = BlockKind::of(label);
    (n_trail > 0).then_some(Marker { start, end, is_begin: keyword == BEGIN, label, kind, is_exact: true })
}

/// Reads the label of an exact marker.
fn exact_label(text: &str) -> Option<&str> {
    // Nearly every marker has this one.
    if text.starts_with(CERTIFICATE) && text[CERTIFICATE.len()..].starts_with(DASHES) {
        return Some(CERTIFICATE);
    }
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let end = text.bytes().take(LABEL_MAX + 1).position(|byte| !is_part(byte))?;
    Some(&text[..end]).filter(|label| !label.is_empty() && !label.starts_with(' ') && !label.ends_with(' '))
}

/// Counts the dashes after the label of an exact marker; returns 0 if there are fewer than five. If another marker
/// follows on the same line, the dashes after the fifth belong to it.
fn n_trail_dashes(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(DASHES) else { return 0 };
    let is_before_marker = |text: &str| keyword_of(text.as_bytes()).is_some();
    if !rest.starts_with('-') || rest.strip_prefix(DASHES).is_some_and(is_before_marker) {
        return DASHES_MIN;
    }
    let after = rest.trim_start_matches('-');
    if is_before_marker(after) { DASHES_MIN } else { text.len() - after.len() }
}

/// Reads a marker that is written in any other form.
fn damaged_marker_at<'a>(text: &'a str, at: usize, keyword: &str, floor: usize) -> Option<Marker<'a>> {
    let n_lead = n_lead_bytes(&text[floor..at])?;
    let keyword_end = at + keyword.len();
    let (n_before, label) = label(&text[keyword_end..])?;
    let label_end = keyword_end + n_before + label.len();
    if !begins_as_a_label(label) {
        return None;
    }
    let n_trail = n_trail_bytes(&text[label_end..]);
    let kind = BlockKind::of(label);
    let (start, end) = (at - n_lead, label_end + n_trail);
    let is_marker = (n_lead > 0 || n_trail > 0) && kind != BlockKind::Unknown;
    is_marker.then(|| Marker { start, end, is_begin: keyword == BEGIN, label, kind, is_exact: false })
}

/// Counts the bytes of the dashes before a keyword and of the spaces after them. Returns `None` if the keyword is the
/// end of a word.
fn n_lead_bytes(text: &str) -> Option<usize> {
    if text.ends_with(is_word_char) {
        return None;
    }
    let lead = &text[text.ceil_char_boundary(text.len().saturating_sub(LEAD_MAX))..];
    let dashes = lead.trim_end_matches([' ', '\t']);
    let before = dashes.trim_end_matches(is_dash);
    Some(if before.len() < dashes.len() { lead.len() - before.len() } else { 0 })
}

/// Counts the bytes of spaces and dashes after the label of a damaged marker; returns 0 if there are no dashes.
fn n_trail_bytes(text: &str) -> usize {
    let spaces = text.len() - text.trim_start_matches([' ', '\t']).len();
    let dashes: usize = text[spaces..].chars().take_while(|&c| is_dash(c)).map(char::len_utf8).sum();
    match dashes {
        0 => 0,
        // Of the dashes between two markers on one line, the first five belong to the first marker.
        DASHES_MIN.. if text.starts_with(DASHES) && keyword_of(&text.as_bytes()[dashes..]).is_some() => DASHES_MIN,
        _ => spaces + dashes,
    }
}

/// Reads the label after a keyword. Returns the number of bytes before the label, and the label.
fn label(text: &str) -> Option<(usize, &str)> {
    let rest = text.trim_start_matches([' ', '\t', '\u{a0}']);
    let end = rest.char_indices().take(LABEL_MAX + 1).find(|&(_, c)| is_dash(c) || !is_label_char(c));
    let end = match end {
        Some((end, _)) => end,
        // The text ends with the label, or the label is too long.
        None if rest.len() <= LABEL_MAX => rest.len(),
        None => return None,
    };
    let label = rest[..end].trim_end();
    (!label.is_empty()).then_some((text.len() - rest.len(), label))
}

/// Returns whether a damaged marker may have this label. Prose starts with words that no label starts with.
fn begins_as_a_label(label: &str) -> bool {
    const FIRST: [&str; 16] = [
        "CERT",
        "TRUSTED",
        "X509",
        "X.509",
        "NEW",
        "PKCS",
        "CMS",
        "ENCRYPTED",
        "PRIVATE",
        "RSA",
        "EC",
        "DSA",
        "OPENSSH",
        "SSH2",
        "PGP",
        "PUBLIC",
    ];
    let starts_with = |word: &str| label.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    FIRST.into_iter().any(starts_with)
}

impl BlockKind {
    fn of(label: &str) -> Self {
        if label == CERTIFICATE {
            return Self::Certificate;
        }
        let letters = capitals(label);
        // Each of the words below has one of these letters; most labels without a meaning have none.
        if !letters.contains(['C', 'G', 'P', 'Q']) {
            return Self::Unknown;
        }
        let has = |words: &[&str]| words.iter().any(|word| letters.contains(word));
        if has(&["PRIVATEKEY"]) {
            Self::PrivateKey
        } else if has(&["REQUEST", "CSR"]) {
            Self::Request
        } else if has(&["PKCS", "CMS"]) {
            Self::Container
        } else if has(&["CRL", "PUBLICKEY", "PARAMETERS", "PGP", "SIGNATURE", "MESSAGE"]) {
            Self::Other
        } else if has(&["TRUSTEDCERT"]) {
            Self::TrustedCertificate
        } else if has(&["CERT"]) {
            Self::Certificate
        } else {
            Self::Unknown
        }
    }
}

/// The letters and digits of a label, in capitals.
fn capitals(label: &str) -> Cow<'_, str> {
    if label.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return label.into();
    }
    label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// Returns whether a character is a dash, or what editors, word processors and wrong encodings make of one.
fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{ad}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2212}'
                | '\u{2500}'
                | '\u{2501}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{fffd}'
    )
}

/// Returns whether a character before a keyword makes it the end of a word, or of base64.
fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '+' | '/' | '=' | '_')
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '#' | '/' | '_' | '(' | ')')
}
