//! Reads JSON of which errors may be told: they never repeat a value.

use serde::Deserialize;

/// Reads a JSON object; serde alone would take an array for a struct too.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("expected an object, found an array"));
    }
    serde_json::from_str(text)
}

/// Serde's message without what it may repeat of the body: that could be a PEM body or a key, and as long as the body.
pub(super) fn without_values(error: &serde_json::Error) -> String {
    const KEPT_MAX: usize = 32;
    let mut text = error.to_string();
    // What is unknown stands in backticks, before what is expected; a string stands in quotes.
    if let (Some(open), Some(close)) = (text.find('`'), text.rfind("`, expected"))
        && open < close
    {
        let unknown = &text[open + 1..close];
        // A misspelt field is worth telling, and a plain word is no secret.
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
