//! Parses JSON with errors that are safe to show: they never repeat a value.

use serde::Deserialize;

/// Parses a JSON object. serde alone would also accept an array for a struct.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("expected an object, found an array"));
    }
    serde_json::from_str(text)
}

/// Returns serde's message without any part of the body that it repeats, which could be PEM or a key, and as long as
/// the body.
pub(super) fn without_values(error: &serde_json::Error) -> String {
    const KEPT_MAX: usize = 32;
    let mut text = error.to_string();
    // serde puts an unknown name in backticks, before what it expected, and a string in quotes.
    if let (Some(open), Some(close)) = (text.find('`'), text.rfind("`, expected"))
        && open < close
    {
        let unknown = &text[open + 1..close];
        // A misspelt field name is worth showing, and a plain word is not a secret.
        let is_word = unknown.len() <= KEPT_MAX && unknown.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !(is_word && text.starts_with("unknown field")) {
            text.replace_range(open + 1..close, "...");
        }
    }
    match (text.find('"'), text.rfind('"')) {
        (Some(open), Some(close)) if open < close => format!("{}\"...\"{}", &text[..open], &text[close + 1..]),
        _ => text,
    }
}
