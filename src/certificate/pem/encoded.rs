//! Private keys hidden in base64: a whole PEM text or message body that was encoded once more.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;

use super::BASE64;
use super::private_key::{holds_private_key, mentions_private, unescaped};

/// Fewest characters of base64 that can hold the mark of a private key.
const RUN_MIN: usize = 16;

/// How often base64 is looked for inside base64.
const DEPTH_MAX: usize = 2;

/// Replaces each run of base64 that hides a private key.
pub(super) fn blank<'a>(text: &'a str, blank: &str) -> Cow<'a, str> {
    let hidden: Vec<_> = runs(text).filter(|run| hides(&text[run.clone()], DEPTH_MAX)).collect();
    if hidden.is_empty() {
        return text.into();
    }
    let mut blanked = text.to_owned();
    for run in hidden.into_iter().rev() {
        blanked.replace_range(run, blank);
    }
    blanked.into()
}

/// Says whether a text is, as a whole, the base64 of one that holds a private key. A text with markers is none, and the rest
/// is decoded once: hostile text costs little.
pub fn encodes_private_key(text: &str) -> bool {
    text.is_ascii() && !text.contains("--") && decode(&digits(text)).is_some_and(|decoded| is_secret(decoded, 1))
}

/// Says whether a text has base64 that hides a private key.
pub(super) fn hides_private_key(text: &str) -> bool {
    holds_encoded(text, DEPTH_MAX)
}

fn holds_encoded(text: &str, depth: usize) -> bool {
    depth > 0 && runs(text).any(|run| hides(&text[run], depth))
}

/// Says whether a run, decoded from any of its first four characters on, holds a private key: words in front of base64
/// may look like a part of it.
fn hides(run: &str, depth: usize) -> bool {
    let digits = digits(run);
    digits.len() >= RUN_MIN
        && (0..4).any(|from| decode(&digits[from..]).is_some_and(|decoded| is_secret(decoded, depth)))
}

/// Decodes digits; a single one at the end is no whole byte.
fn decode(digits: &[u8]) -> Option<Vec<u8>> {
    let end = if digits.len() % 4 == 1 { digits.len() - 1 } else { digits.len() };
    BASE64.decode(&digits[..end]).ok()
}

/// Says whether what was decoded holds a private key. Text costs more than bytes, so it is made only where there may be one.
fn is_secret(mut decoded: Vec<u8>, depth: usize) -> bool {
    if decoded.contains(&0) {
        decoded.retain(|&byte| byte != 0);
    }
    if mentions_private(&decoded) || decoded.contains(&b'\\') {
        let text = String::from_utf8_lossy(&decoded);
        if holds_private_key(&text) || holds_private_key(&unescaped(&text)) {
            return true;
        }
    }
    // Only the right one of the four beginnings gives text; words in front spoil its first bytes.
    decoded[decoded.len() / 2..].is_ascii() && holds_encoded(&String::from_utf8_lossy(&decoded), depth - 1)
}

/// The digits of a run in the standard alphabet, without line ends.
fn digits(run: &str) -> Vec<u8> {
    let mut digits = Vec::with_capacity(run.len());
    let mut bytes = run.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'-' => digits.push(b'+'),
            b'_' => digits.push(b'/'),
            b'\\' => digits.extend(bytes.next().filter(|&escaped| escaped == b'/')),
            byte if is_digit(byte) => digits.push(byte),
            _ => {}
        }
    }
    digits
}

/// The runs of base64 in a text: digits of either alphabet with spaces and line ends, also as JSON escapes them. Padding
/// ends a run.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        from += bytes[from..].iter().position(|&byte| is_digit(byte))?;
        let start = from;
        while let Some(n) = step(&bytes[from..]) {
            from += n;
        }
        from += bytes[from..].iter().take_while(|&&byte| byte == b'=').count();
        Some(start..from)
    })
}

/// How many bytes go on with a run at the start of some bytes.
fn step(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\\', b'n' | b'r' | b't' | b'/', ..] => Some(2),
        [byte, ..] if is_digit(*byte) || byte.is_ascii_whitespace() => Some(1),
        _ => None,
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
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

    #[test]
    fn a_text_that_is_the_base64_of_a_key_is_told_from_others() {
        let encoded = BASE64_STANDARD.encode(KEY);
        assert!(encodes_private_key(&encoded) && encodes_private_key(&encoded.replace('L', "L\r\n")));
        assert!(!encodes_private_key("") && !encodes_private_key(&encoded[8..40].to_lowercase()));
    }

    #[test]
    fn other_base64_stays() {
        let certificate = "-----BEGIN CERTIFICATE-----\nTUlJQ0FUQ0NBYWVnQXdJQkFnSVVl\n-----END CERTIFICATE-----\n";
        let encoded = BASE64_STANDARD.encode(certificate);
        for text in ["", "=", "====", "a\\", certificate, &encoded, &format!("{encoded} {encoded}")] {
            assert_eq!(blank(text, "*"), text);
        }
    }

    #[test]
    fn what_stands_between_two_keys_stays() {
        let once = BASE64_STANDARD.encode(format!("{KEY}=="));
        assert!(once.ends_with('='), "the padding ends a run");
        assert_eq!(blank(&format!("{once},\"b\":1,{once}"), "*"), r#"*,"b":1,*"#);
    }
}
