//! The tokens in the settings: who may log in, with which role.
//!
//! A token has 256 random bits (`muster token`), so its SHA-256 is as good as a slow hash: there is nothing to guess.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use secrecy::ExposeSecret;

use crate::config::http::{AccessRole, HttpConfig};
use muster_core::advice::{Advice, Exit};

/// Minimum length of a token, in characters.
const LENGTH_MIN: usize = 32;

/// What stands before the hash of a token.
const HASH_PREFIX: &str = "sha256:";

/// Permission bits that let others read a file, and that let everybody write it.
const READABLE_BY_OTHERS: u32 = 0o044;
const WRITABLE_BY_ALL: u32 = 0o002;

/// Some editors write this at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One token.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    /// Who it is for.
    pub who: String,
    /// What it allows.
    pub role: AccessRole,
    hash: [u8; 32],
}

/// The tokens in the settings.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// The tokens in the settings are not valid. No message contains a token.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the tokens in the file.
    #[error("{} contains tokens and can be read by other users", .0.display())]
    Exposed(PathBuf),
    /// Everybody can add tokens to the file.
    #[error("{} can be written by every user", .0.display())]
    Writable(PathBuf),
    /// A line is not valid.
    #[error("{place}: {what}")]
    Line {
        /// Setting or file, and the line.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Advice for TokensError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Unreadable { .. } => "`http.tokens_file` names the file".into(),
            Self::Exposed(path) => {
                format!("run `chmod 600 {}`, or keep only hashes (`sha256:...`) in it", path.display()).into()
            }
            Self::Writable(path) => format!("run `chmod o-w {}`", path.display()).into(),
            Self::Line { .. } => {
                "a line is `ROLE NAME TOKEN`, with the role viewer or operator; `muster token NAME` prints one".into()
            }
        })
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Tokens {
    /// Reads the tokens of the settings.
    pub fn read(config: &HttpConfig) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        if let Some(path) = &config.tokens_file {
            let unreadable = |source| TokensError::Unreadable { path: path.clone(), source };
            let text = fs::read_to_string(path).map_err(unreadable)?;
            let lines = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text).lines();
            let has_plain = tokens.add_lines(lines, &path.display().to_string())?;
            let mode = fs::metadata(path).map_err(unreadable)?.mode();
            if has_plain && mode & READABLE_BY_OTHERS != 0 {
                return Err(TokensError::Exposed(path.clone()));
            }
            if mode & WRITABLE_BY_ALL != 0 {
                return Err(TokensError::Writable(path.clone()));
            }
        }
        tokens.add_lines(config.tokens.expose_secret().split([';', '\n']), "http.tokens")?;
        Ok(tokens)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the token that equals a text. Compares with every token in constant time.
    pub fn find(&self, text: &str) -> Option<&Token> {
        let hash = sha256(text.as_bytes());
        let mut found = None;
        for token in &self.0 {
            if verify_slices_are_equal(&token.hash, &hash).is_ok() {
                found = Some(token);
            }
        }
        found
    }

    /// Returns the token with this name and fingerprint.
    pub fn with_fingerprint(&self, who: &str, fingerprint: &str) -> Option<&Token> {
        self.0.iter().find(|token| token.who == who && token.fingerprint() == fingerprint)
    }

    /// Adds one token for each line. Returns whether a token is there in plain text.
    fn add_lines<'a>(&mut self, lines: impl Iterator<Item = &'a str>, place: &str) -> Result<bool, TokensError> {
        let mut has_plain = false;
        let numbered = lines.enumerate().map(|(i, line)| (i + 1, line.trim()));
        for (n, line) in numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let wrong = |what: String| TokensError::Line { place: format!("{place}, line {n}"), what };
            let (token, is_plain) = Token::read(line).map_err(wrong)?;
            if self.0.iter().any(|known| known.who == token.who) {
                return Err(wrong(format!("there are two tokens for `{}`", token.who)));
            }
            // Two names for one token: nobody could tell whose change an audit entry is.
            if let Some(known) = self.0.iter().find(|known| known.hash == token.hash) {
                return Err(wrong(format!("the token for `{}` is the one for `{}`", token.who, known.who)));
            }
            has_plain |= is_plain;
            self.0.push(token);
        }
        Ok(has_plain)
    }
}

impl Token {
    /// Reads a line; also returns whether the token is there in plain text.
    fn read(line: &str) -> Result<(Self, bool), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [role, who, secret] = words.as_slice() else {
            return Err(format!("expected 3 words, found {}", words.len()));
        };
        let role = role.parse().map_err(|_| "its role is neither viewer nor operator".to_owned())?;
        let is_name = who.len() <= 64 && who.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
        if !is_name {
            return Err("a name has at most 64 letters, digits, and - _ . @".to_owned());
        }
        let (hash, is_plain) = match secret.strip_prefix(HASH_PREFIX) {
            Some(hash) => (read_hash(hash)?, false),
            None if secret.chars().count() < LENGTH_MIN => {
                return Err(format!("the token for `{who}` has fewer than {LENGTH_MIN} characters"));
            }
            None => (sha256(secret.as_bytes()), true),
        };
        Ok((Self { who: (*who).to_owned(), role, hash }, is_plain))
    }

    /// Returns the line for a new token: with its hash only.
    pub fn line(role: AccessRole, who: &str, secret: &str) -> Result<String, String> {
        let line = format!("{role} {who} {HASH_PREFIX}{}", hex::encode(sha256(secret.as_bytes())));
        Self::read(&line).map(|_| line)
    }

    /// Returns the beginning of its hash, which identifies it and reveals nothing.
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.hash[..8])
    }
}

fn read_hash(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("`{HASH_PREFIX}` must be followed by 64 hex digits"))
}

/// Returns the SHA-256 of bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("who", &self.who).field("role", &self.role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const EVA: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(lines: &str) -> Result<Tokens, TokensError> {
        Tokens::read(&HttpConfig { tokens: lines.into(), ..HttpConfig::default() })
    }

    #[test]
    fn a_token_is_found_by_its_text_whether_it_is_stored_plainly_or_as_a_hash() {
        let hashed = Token::line(AccessRole::Viewer, "ben", "fedcba9876543210fedcba9876543210").unwrap();
        let tokens = tokens(&format!("operator eva {EVA}; {hashed}")).unwrap();
        assert_eq!(tokens.find(EVA).unwrap().role, AccessRole::Operator);
        assert_eq!(tokens.find("fedcba9876543210fedcba9876543210").unwrap().who, "ben");
        for wrong in ["", "0123456789abcdef0123456789abcdee", hashed.rsplit(' ').next().unwrap()] {
            assert!(tokens.find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_line_is_reported_without_its_token() {
        for (lines, what) in [
            ("operator eva", "http.tokens, line 1: expected 3 words, found 2"),
            (
                "# ops\nadmin eva 0123456789abcdef0123456789abcdef",
                "http.tokens, line 2: its role is neither viewer nor operator",
            ),
            ("viewer eva secret", "http.tokens, line 1: the token for `eva` has fewer than 32 characters"),
            ("viewer eva sha256:xyz", "http.tokens, line 1: `sha256:` must be followed by 64 hex digits"),
            (
                "viewer eva<b> 0123456789abcdef0123456789abcdef",
                "http.tokens, line 1: a name has at most 64 letters, digits, and - _ . @",
            ),
            (
                "viewer eva 0123456789abcdef0123456789abcdef;viewer eva 1123456789abcdef0123456789abcdef",
                "http.tokens, line 2: there are two tokens for `eva`",
            ),
            (
                "viewer eva 0123456789abcdef0123456789abcdef\noperator ben 0123456789abcdef0123456789abcdef",
                "http.tokens, line 2: the token for `ben` is the one for `eva`",
            ),
        ] {
            assert_eq!(tokens(lines).unwrap_err().to_string(), what);
        }
    }

    #[test]
    fn a_file_of_plain_tokens_must_be_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let read = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Tokens::read(&HttpConfig { tokens_file: Some(path.clone()), ..HttpConfig::default() })
        };
        let plain = format!("operator eva {EVA}");
        assert!(matches!(read(&plain, 0o644), Err(TokensError::Exposed(_))));
        assert!(read(&plain, 0o600).is_ok());
        assert!(read(&format!("\u{feff}# ops\r\n{plain}\r\n"), 0o600).unwrap().find(EVA).is_some());
        let hashed = Token::line(AccessRole::Operator, "eva", EVA).unwrap();
        assert!(read(&hashed, 0o644).is_ok());
        assert!(matches!(read(&hashed, 0o646), Err(TokensError::Writable(_))));
    }
}
