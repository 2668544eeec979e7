//! Finds private keys in text, however damaged or encoded, and removes them before the text is stored.

use super::encoded;
use super::escaped::forms;
use super::key_mark::{KeyMark, private_key_mark, shows_private_key};
use super::{Block, blocks};

/// Maximum size in bytes of a text that is searched for encoded keys, with its certificates. Real producers send less.
const TEXT_MAX: usize = 16 << 10;

/// Maximum size in bytes of the same text without its certificates.
const REST_MAX: usize = 8 << 10;

/// Returns whether a text holds a private key, or the marker of one, even if it is encoded: in base64, in hexadecimal
/// digits, with escapes, or as a JSON Web Key.
pub fn hides_private_key(text: &str) -> bool {
    shows_private_key(text) || forms(text).any(|form| encoded::hides_private_key(&form))
}

/// Does the same as [`hides_private_key`], but ignores the certificates in the text: their contents are public, and may
/// look like a key. Returns false for a text larger than any real producer sends, so that hostile text costs little.
pub fn hides_private_key_outside_certificates(text: &str) -> bool {
    if text.len() > TEXT_MAX {
        return false;
    }
    let mut rest = String::new();
    let mut at = 0;
    for block in blocks(text).filter(Block::is_like_a_certificate) {
        rest += &text[at..block.start];
        at = block.start + block.text.len();
    }
    rest += &text[at..];
    let rest = rest.trim_ascii();
    !rest.is_empty() && rest.len() <= REST_MAX && hides_private_key(rest)
}

/// Removes the private keys from a text. If a key has no BEGIN or no END marker, everything before or after it is
/// removed with it. If a key is in base64 or hexadecimal digits, all of these are removed. If a text hides a key in
/// another way, nothing of it is left.
pub fn blank_private_keys(text: &str) -> String {
    const BLANK: &str = "[private key removed]";
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(KeyMark { start, end }) = private_key_mark(rest) {
        blanked.push_str(&rest[..start.unwrap_or(0)]);
        blanked.push_str(BLANK);
        rest = &rest[end..];
        if start.is_some() {
            rest = private_key_mark(rest).map_or("", |last| &rest[last.end..]);
        }
    }
    blanked += rest;
    let blanked = encoded::blank(&blanked, BLANK);
    if hides_private_key(&blanked) { BLANK.to_owned() } else { blanked.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::pem::key_mark::holds_private_key;

    const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"d","y":"d"}"#;
    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";

    #[test]
    fn private_keys_are_found_in_any_state() {
        for label in ["", "RSA ", "EC ", "DSA ", "ENCRYPTED ", "OPENSSH "] {
            assert!(holds_private_key(&format!("text\n-----BEGIN {label}PRIVATE KEY-----\nMII")), "{label}");
            assert!(holds_private_key(&format!("MII\r-----END {label}PRIVATE KEY-----")), "{label}");
        }
        assert!(holds_private_key("-----BEGIN PRIVATE KEY----\\nMII"));
        assert!(holds_private_key("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY"));
        assert!(holds_private_key("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/5"));
        for text in
            ["–BEGIN PRIVATE KEY–", "----begin ec private key----", "— BEGIN RSA PRIVATE KEY", "-BEGIN PRIVATE KEY"]
        {
            assert!(holds_private_key(text), "{text}");
        }
        assert!(holds_private_key("-\0-\0B\0E\0G\0I\0N\0 \0P\0R\0I\0V\0A\0T\0E\0 \0K\0E\0Y\0-\0"));
        assert!(!holds_private_key(BLOCK));
        assert!(!holds_private_key("The PRIVATE KEY stays in the chip\n"));
        assert!(!holds_private_key("PRIVATE KEY - it stays in the chip\n"));
    }

    #[test]
    fn private_keys_are_removed_from_text() {
        let begin = "-----BEGIN EC PRIVATE KEY-----";
        let end = "-----END EC PRIVATE KEY-----";
        for (text, blanked) in [
            (format!(r#"{{"a":"{begin}\nSECRET\n{end}\n","b":1}}"#), r#"{"a":"[private key removed]\n","b":1}"#),
            (format!("x{begin}SECRET{end}y{begin}SECRET{end}z"), "x[private key removed]y[private key removed]z"),
            (format!("x{begin}SECRET"), "x[private key removed]"),
            (format!("SECRET{end}y"), "[private key removed]y"),
            (
                "x-----BEGIN PGP PRIVATE KEY BLOCK-----S-----END PGP PRIVATE KEY BLOCK-----y".into(),
                "x[private key removed]y",
            ),
            ("x---- BEGIN SSH2 PRIVATE KEY ----S---- END SSH2 PRIVATE KEY ----y".into(), "x[private key removed]y"),
            ("x–BEGIN PRIVATE KEY–S–END PRIVATE KEY–y".into(), "x[private key removed]y"),
            ("x-----begin private key-----S-----end private key-----y".into(), "x[private key removed]y"),
            (r#"{"a":"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tU0VDUkVU"}"#.into(), r#"{"a":"[private key removed]"}"#),
            (r"LS0tLS1CRUdJTiBQUklW\u0051VRFIEtFWS0tLS0tU0VDUkVU".into(), "[private key removed]"),
            (r"-----BEGIN PRIVATE\u0020KEY-----SECRET".into(), "[private key removed]"),
            (r"\u002D----BEGIN PRIVATE KEY\u002d----SECRET".into(), r"\u002D[private key removed]"),
            ("-----BEGIN%20PRIVATE%20KEY-----SECRET".into(), "[private key removed]"),
            ("-----BEGIN+PRIVATE+KEY-----SECRET".into(), "[private key removed]"),
            (r#"{"jwk":{"kty":"EC","d" : "SECRET"}}"#.into(), "[private key removed]"),
            (r#"{"jwk":"{\"kty\":\"EC\",\"d\":\"SECRET\"}"}"#.into(), "[private key removed]"),
        ] {
            assert_eq!(blank_private_keys(&text), blanked, "{text}");
        }
    }

    #[test]
    fn text_without_a_private_key_is_unchanged() {
        for text in [BLOCK, r#"{"a":"\u00"}"#, r"\u00e4 \u0041 \u00", "\\u00\u{e4}", "the PRIVATE KEY", JWK] {
            assert_eq!(blank_private_keys(text), text);
        }
    }
}
