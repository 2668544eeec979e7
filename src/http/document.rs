//! What every HTML answer is made of: the document, a problem shown as a page, addresses, commands in texts.
//!
//! The pages use it, and the gate in front of them, which must not know any page.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::problem::{Problem, add_retry_after};

/// Shows a problem as a page.
pub(super) fn problem_page(problem: Problem) -> Response {
    let Problem { title, status, detail, hint, retry_after, .. } = problem;
    let body = html! {
        main {
            h1 { (title) }
            p { (detail) }
            @if let Some(hint) = hint { p.hint { (fix(&hint)) } }
            p { a href="/" { "Overview" } }
        }
    };
    let mut response = (status, document(title, &html! {}, &body)).into_response();
    add_retry_after(&mut response, retry_after);
    response
}

/// A complete document.
pub(super) fn document(title: &str, header: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Muster" }
                link rel="stylesheet" href="/assets/style.css";
                link rel="icon" href="data:,";
                script src="/assets/live.js" defer {}
            }
            body { (header) (body) }
        }
    }
}

/// Shows an instruction: what stands between backticks is a command.
pub(super) fn fix(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// What is encoded in addresses: all but letters, digits and the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a text as one segment of a path.
pub(super) fn path(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ENCODED)
}

/// Returns an address with the fields that are not empty.
pub(super) fn address(path: &str, fields: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (i, (name, value)) in fields.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        address.push(if i == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.extend(utf8_percent_encode(value, ENCODED));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_out_and_texts_are_escaped() {
        assert_eq!(fix("run `muster ca` <now>").into_string(), "run <code>muster ca</code> &lt;now&gt;");
    }

    #[test]
    fn an_address_keeps_the_filter_and_escapes_it() {
        let fields = [("before", "a b"), ("name", ""), ("source", "\"><script>&x=1")];
        let address = address("/batches", &fields);
        assert_eq!(address, "/batches?before=a%20b&source=%22%3E%3Cscript%3E%26x%3D1");
    }
}
