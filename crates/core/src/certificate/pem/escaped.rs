//! Undoes escapes in text: those of JSON, and percent-encoding as in URLs and forms.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the possible readings of a text: as it is and, if it has escapes, with the escapes undone.
pub(super) fn forms(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let undone = plus_decoded(percent_decoded(unescaped(text)));
    let undone = matches!(undone, Cow::Owned(_)).then_some(undone);
    std::iter::once(Cow::Borrowed(text)).chain(undone)
}

fn percent_decoded(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('%') {
        return text;
    }
    percent_decode_str(&text).decode_utf8_lossy().into_owned().into()
}

/// Replaces plus signs by spaces if the text looks form-encoded. In base64, a plus sign stands for itself.
fn plus_decoded(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains("+PRIVATE") { text.replace('+', " ").into() } else { text }
}

/// Undoes the JSON escapes of ASCII characters.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u00") {
        return text.into();
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u00") {
        let (before, escape) = rest.split_at(at);
        let code = escape.get(4..6).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        unescaped.push_str(before);
        match code.filter(u8::is_ascii) {
            Some(code) => unescaped.push(code.into()),
            None => unescaped.push_str("\\u00"),
        }
        rest = &escape[if code.is_some_and(|code| code.is_ascii()) { 6 } else { 4 }..];
    }
    (unescaped + rest).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_first_then_its_unescaped_form() {
        for (text, expected) in [
            ("a", &["a"][..]),
            (r"\u0041", &[r"\u0041", "A"]),
            ("a%20%c3%a4%", &["a%20%c3%a4%", "a \u{e4}%"]),
            ("EC+PRIVATE+KEY", &["EC+PRIVATE+KEY", "EC PRIVATE KEY"]),
            (r"%45C\u002bPRIVATE", &[r"%45C\u002bPRIVATE", "EC PRIVATE"]),
        ] {
            assert_eq!(forms(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
