//! Finds private keys hidden in base64 or hexadecimal digits: the DER of a key, or a whole PEM text or message body
//! that was encoded again.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;

use super::key_der::begins_key;
use super::key_mark::shows_private_key;
use super::{BASE64, without_nuls};

/// Minimum number of base64 characters that can hold the marker of a private key.
const RUN_MIN: usize = 16;

/// Minimum number of hexadecimal digits that can; fewer are part of a name.
const HEXADECIMAL_MIN: usize = 2 * RUN_MIN;

/// How many levels of nested base64 or hexadecimal digits are searched.
const DEPTH_MAX: usize = 2;

/// Replaces each run of base64 or hexadecimal digits that hides a private key.
pub(super) fn blank<'a>(text: &'a str, blank: &str) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for encoding in Encoding::ALL {
        let hidden: Vec<_> = encoding.runs(&text).filter(|run| encoding.hides(&text[run.clone()], DEPTH_MAX)).collect();
        for run in hidden.into_iter().rev() {
            text.to_mut().replace_range(run, blank);
        }
    }
    text
}

/// Returns whether a text has base64 or hexadecimal digits that hide a private key.
pub(super) fn hides_private_key(text: &str) -> bool {
    holds_encoded(text, DEPTH_MAX)
}

fn holds_encoded(text: &str, depth: usize) -> bool {
    let hides = |encoding: Encoding| encoding.runs(text).any(|run| encoding.hides(&text[run], depth));
    depth > 0 && Encoding::ALL.into_iter().any(hides)
}

/// Returns whether decoded bytes hold a private key. Text is more expensive than bytes, so the bytes are converted to
/// text only if there may be a key in it.
fn is_secret(decoded: &[u8]) -> bool {
    let mut may_show_key = false;
    let mut at = skip(&IS_PLAIN, decoded, 0);
    while at < decoded.len() {
        let rest = &decoded[at..];
        if begins_key(rest) {
            return true;
        }
        may_show_key = may_show_key || begins_text(rest);
        at = skip(&IS_PLAIN, decoded, at + 1);
    }
    may_show_key && shows_private_key(&without_nuls(&String::from_utf8_lossy(decoded)))
}

/// Returns whether bytes start with something that every text with a key has, possibly in UTF-16: the middle of the
/// word `PRIVATE`, the member `kty` of a JSON Web Key, or an escape that may hide either.
fn begins_text(bytes: &[u8]) -> bool {
    let mut characters = bytes.iter().filter(|&&byte| byte != 0);
    match (characters.next(), characters.next()) {
        (Some(b'V' | b'v'), Some(b'A' | b'a')) | (Some(b'k'), Some(b't')) | (Some(b'\\'), Some(b'u')) => true,
        (Some(b'%'), Some(digit)) => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

/// How bytes are encoded as text.
#[derive(Clone, Copy)]
enum Encoding {
    /// Base64 in either alphabet.
    Base64,
    /// Pairs of hexadecimal digits, possibly with colons between them.
    Hexadecimal,
}

impl Encoding {
    const ALL: [Self; 2] = [Self::Base64, Self::Hexadecimal];

    /// Returns the minimum number of digits that can hold the marker of a private key, and how many of the first digits
    /// may be the start of the encoding: a word in front of it may look like a part of it.
    fn bounds(self) -> (usize, usize) {
        match self {
            Self::Base64 => (RUN_MIN, 4),
            Self::Hexadecimal => (HEXADECIMAL_MIN, 2),
        }
    }

    /// Returns whether a run, decoded from any of its first digits on, holds a private key. Only decoding from the
    /// right digit gives text, apart from the first bytes, which a word in front garbles. So at most one decoding is
    /// searched for nested encodings.
    fn hides(self, run: &str, depth: usize) -> bool {
        let (n_min, n_starts) = self.bounds();
        let digits = if run.len() < n_min { vec![] } else { self.digits(run) };
        if digits.len() < n_min {
            return false;
        }
        let mut text = None;
        for decoded in (0..n_starts).filter_map(|from| self.decode(&digits[from..])) {
            if is_secret(&decoded) {
                return true;
            }
            if text.is_none() && decoded[decoded.len() / 2..].is_ascii() {
                text = Some(decoded);
            }
        }
        text.is_some_and(|text| holds_encoded(&without_nuls(&String::from_utf8_lossy(&text)), depth - 1))
    }

    /// Decodes digits, ignoring those at the end that do not form a whole byte.
    fn decode(self, digits: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => BASE64.decode(&digits[..digits.len() - usize::from(digits.len() % 4 == 1)]).ok(),
            Self::Hexadecimal => hex::decode(&digits[..digits.len() & !1]).ok(),
        }
    }

    /// Returns the digits of a run, with base64 in the standard alphabet.
    fn digits(self, run: &str) -> Vec<u8> {
        let is_digit = self.digit_table();
        let mut digits = Vec::with_capacity(run.len());
        let (run, mut at) = (run.as_bytes(), 0);
        while at < run.len() {
            let end = skip(is_digit, run, at);
            digits.extend_from_slice(&run[at..end]);
            at = end + self.gap(&run[end..]).unwrap_or(1);
            // In the escape of a slash, the second character is a digit.
            if run.get(end..at) == Some(br"\/") {
                digits.push(b'/');
            }
        }
        to_standard(&mut digits);
        digits
    }

    /// Returns the runs of digits in a text. The digits may have spaces and line ends between them, even escaped by
    /// JSON. Padding ends a run.
    fn runs(self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let (bytes, is_digit, is_no_digit) = (text.as_bytes(), self.digit_table(), self.other_table());
        let mut from = 0;
        std::iter::from_fn(move || {
            from = skip(is_no_digit, bytes, from);
            if from == bytes.len() {
                return None;
            }
            let start = from;
            loop {
                from = skip(is_digit, bytes, from);
                let Some(n) = self.gap(&bytes[from..]) else { break };
                from += n;
            }
            from += bytes[from..].iter().take_while(|&&byte| byte == b'=').count();
            Some(start..from)
        })
    }

    /// Returns how many bytes at the start of `bytes` may separate two digits of a run.
    fn gap(self, bytes: &[u8]) -> Option<usize> {
        match (self, bytes) {
            (_, [b'\\', b'n' | b'r' | b't', ..]) | (Self::Base64, [b'\\', b'/', ..]) => Some(2),
            (Self::Hexadecimal, [b':', ..]) => Some(1),
            (_, [byte, ..]) if byte.is_ascii_whitespace() => Some(1),
            _ => None,
        }
    }

    /// Returns a table that has every digit.
    fn digit_table(self) -> &'static [bool; 256] {
        match self {
            Self::Base64 => &IS_BASE64,
            Self::Hexadecimal => &IS_HEXADECIMAL,
        }
    }

    /// Returns a table that has every byte except the digits.
    fn other_table(self) -> &'static [bool; 256] {
        match self {
            Self::Base64 => &IS_NOT_BASE64,
            Self::Hexadecimal => &IS_NOT_HEXADECIMAL,
        }
    }
}

const BASE64_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
const HEXADECIMAL_DIGITS: &[u8] = b"0123456789ABCDEFabcdef";
static IS_BASE64: [bool; 256] = table(BASE64_DIGITS, true);
static IS_NOT_BASE64: [bool; 256] = table(BASE64_DIGITS, false);
static IS_HEXADECIMAL: [bool; 256] = table(HEXADECIMAL_DIGITS, true);
static IS_NOT_HEXADECIMAL: [bool; 256] = table(HEXADECIMAL_DIGITS, false);

/// All bytes except those that start a key, or something that every text with a key has.
static IS_PLAIN: [bool; 256] = table(b"\x30oVvk\\%", false);

/// Creates a table that has the members or, if `is_member` is false, every other byte.
const fn table(members: &[u8], is_member: bool) -> [bool; 256] {
    let mut table = [!is_member; 256];
    let mut at = 0;
    while at < members.len() {
        table[members[at] as usize] = is_member;
        at += 1;
    }
    table
}

/// Skips the bytes that a table has. Nearly every byte passes through here, so it is a plain loop.
fn skip(table: &[bool; 256], bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() && table[bytes[at] as usize] {
        at += 1;
    }
    at
}

/// Converts base64 to the standard alphabet.
fn to_standard(digits: &mut [u8]) {
    let mut at = 0;
    while at < digits.len() {
        match digits[at] {
            b'-' => digits[at] = b'+',
            b'_' => digits[at] = b'/',
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};

    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGH???>>>\n-----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_in_base64_is_blanked_in_every_form() {
        let once = BASE64_STANDARD.encode(KEY);
        let wrapped: Vec<_> = once.as_bytes().chunks(19).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let utf16: Vec<u8> = KEY.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for encoded in [
            once.clone(),
            BASE64_STANDARD_NO_PAD.encode(KEY),
            BASE64_URL_SAFE.encode(KEY),
            BASE64_STANDARD.encode(&once),
            BASE64_STANDARD.encode(utf16),
            BASE64_STANDARD.encode(format!(r#"{{"key":"{}"}}"#, KEY.replace('\n', "\\n"))),
            BASE64_STANDARD.encode(KEY.replace("E K", r"E\u0020K")),
            wrapped.join("\n"),
            wrapped.join("\\r\\n"),
            once.replace('/', "\\/"),
        ] {
            assert_eq!(blank(&format!("{{\"a\":\"{encoded}\"}}"), "*"), r#"{"a":"*"}"#, "{encoded}");
            for words in ["a ", "ab ", "abc ", "abcd "] {
                assert_eq!(blank(&format!("{words}{encoded}"), "*"), "*", "{words}{encoded}");
            }
        }
    }

    /// A private key as written by `openssl ecparam -genkey`.
    const SEC1: &str = "30770201010420111111111111111111111111111111111111111111111111111111111111111\
                        1a00a06082a8648ce3d030107a14403420004";

    #[test]
    fn a_der_key_is_blanked_in_base64_and_hexadecimal() {
        let der = hex::decode(SEC1).unwrap();
        let with_colons: Vec<_> = SEC1.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        for encoded in [
            BASE64_STANDARD.encode(&der),
            BASE64_URL_SAFE.encode(&der),
            BASE64_STANDARD.encode(SEC1),
            SEC1.to_uppercase(),
            with_colons.join(":"),
            with_colons.join("\\n"),
            hex::encode(KEY),
            hex::encode(BASE64_STANDARD.encode(KEY)),
            hex::encode(r#"{"kty":"EC","d":"x"}"#),
        ] {
            assert_eq!(blank(&format!("{{\"a\":\"{encoded}\"}}"), "*"), r#"{"a":"*"}"#, "{encoded}");
            for word in ["e ", "be "] {
                assert!(hides_private_key(&format!("{word}{encoded}")), "{word}{encoded}");
            }
        }
    }

    #[test]
    fn other_base64_is_kept() {
        let certificate = "-----BEGIN CERTIFICATE-----\nTUlJQ0FUQ0NBYWVnQXdJQkFnSVVl\n-----END CERTIFICATE-----\n";
        let encoded = BASE64_STANDARD.encode(certificate);
        for text in ["", "=", "====", "a\\", certificate, &encoded, &format!("{encoded} {encoded}")] {
            assert_eq!(blank(text, "*"), text);
        }
    }

    #[test]
    fn text_between_two_keys_is_kept() {
        let once = BASE64_STANDARD.encode(format!("{KEY}=="));
        assert!(once.ends_with('='), "the padding ends a run");
        assert_eq!(blank(&format!("{once},\"b\":1,{once}"), "*"), r#"*,"b":1,*"#);
    }
}
