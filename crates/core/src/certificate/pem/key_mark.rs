//! Finds the markers of private keys, and JSON Web Keys with a private part, in text that is not encoded.

use super::escaped::forms;
use super::marker::{self, BlockKind};
use super::without_nuls;

/// Maximum number of bytes between the start of a marker and its last word.
const MARK_MAX: usize = 64;

/// Returns whether a text holds a private key, or the marker of one, in whatever state the rest of it is.
pub fn holds_private_key(text: &str) -> bool {
    private_key_mark(&without_nuls(text)).is_some()
}

/// Returns whether a text holds a private key, the marker of one, or a JSON Web Key, possibly with escapes but not
/// encoded otherwise.
pub(super) fn shows_private_key(text: &str) -> bool {
    forms(text).any(|form| holds_private_key(&form) || is_private_jwk(&form))
}

/// Returns whether a text has a JSON Web Key (RFC 7517) with its private part, possibly as a string inside other JSON.
fn is_private_jwk(text: &str) -> bool {
    if !text.contains("kty") {
        return false;
    }
    let plain = text.replace('\\', "");
    let has_member = |name: &str| plain.split(name).skip(1).any(|rest| rest.trim_ascii_start().starts_with(':'));
    has_member("\"kty\"") && has_member("\"d\"")
}

/// A marker of a private key: `-----BEGIN EC PRIVATE KEY-----`, dashes included.
pub(super) struct KeyMark {
    /// Where it begins, if it is a BEGIN marker. Any other marker has the key in front of it.
    pub(super) start: Option<usize>,
    pub(super) end: usize,
}

/// Finds the first marker of a private key: by its last words or, if its dashes are damaged, like any other marker.
pub(super) fn private_key_mark(text: &str) -> Option<KeyMark> {
    if !mentions_private(text.as_bytes()) {
        return None;
    }
    let plain = plain_mark(text);
    // The search for damaged markers ends at the plain one, so that finding all keys of a text takes one pass.
    let before = plain.as_ref().map_or(text, |mark| &text[..mark.end]);
    let damaged = marker::markers(before).find(|marker| marker.kind == BlockKind::PrivateKey);
    match damaged {
        Some(marker) => Some(KeyMark { start: marker.is_begin.then_some(marker.start), end: marker.end }),
        None => plain,
    }
}

/// Returns whether a text has the word that every marker of a private key has. For nearly every text this is the only
/// cost, so the scan looks for the rarest letter of the word.
fn mentions_private(bytes: &[u8]) -> bool {
    const WORD: &[u8] = b"PRIVATE";
    const V: usize = 3;
    let is_word = |at: usize| {
        let word = at.checked_sub(V).and_then(|start| bytes.get(start..start + WORD.len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(WORD))
    };
    bytes.windows(2).enumerate().any(|(at, pair)| matches!(pair, [b'V' | b'v', b'A' | b'a']) && is_word(at))
}

/// Finds the first text that ends like the marker of a private key.
fn plain_mark(text: &str) -> Option<KeyMark> {
    let mut from = 0;
    loop {
        let bytes = text.as_bytes();
        let start = from + bytes[from..].iter().position(|&byte| byte == b'-')?;
        let n_dashes = bytes[start..].iter().position(|&byte| byte != b'-').unwrap_or(bytes.len() - start);
        from = start + n_dashes;
        let before = &text[..start];
        // In an SSH2 marker, a space separates the dashes from the words.
        let words = if n_dashes >= 4 { before.strip_suffix(' ').unwrap_or(before) } else { before };
        // The markers of OPENSSH, ENCRYPTED, RSA, EC, DSA and plain keys end like this; PGP's has one more word.
        if words.strip_suffix(" BLOCK").unwrap_or(words).ends_with("PRIVATE KEY") {
            return Some(KeyMark { start: begin_mark(words), end: from });
        }
    }
}

/// Finds the start of the BEGIN marker at the end of a text.
fn begin_mark(text: &str) -> Option<usize> {
    let from = text.floor_char_boundary(text.len().saturating_sub(MARK_MAX));
    let begin = from + text[from..].rfind("BEGIN ")?;
    Some(text[..begin].trim_end_matches(['-', ' ']).len())
}
