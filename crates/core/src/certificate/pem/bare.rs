//! Finds base64 outside any block: the body of a block whose markers are missing.
//!
//! A run is a word of base64 with the lines that continue it. A run that starts like DER, or is shaped like a PEM body,
//! is treated as a certificate. So is a hexadecimal dump of DER, so that it is reported instead of silently ignored.

/// Minimum number of characters in a run: the smallest certificate has about two hundred.
const RUN_MIN: usize = 100;

/// Minimum number of characters in a line that the next line can continue.
const LINE_MIN: usize = 40;

/// A run of base64 in a text, as a range of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Base64Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Finds the runs of a text that may be certificates.
pub(super) fn runs(text: &str) -> impl Iterator<Item = Base64Run> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let run = next_run(text, from)?;
            from = run.end;
            if is_suspect(&text[run.start..run.end]) {
                return Some(run);
            }
        }
    })
}

/// Returns the end of the base64 at the start of a text: the rest of a run that was cut in the middle.
pub(super) fn end_of_leading_run(text: &str) -> usize {
    let is_body = |byte: u8| is_digit(byte) || byte.is_ascii_whitespace();
    text.bytes().position(|byte| !is_body(byte)).unwrap_or(text.len())
}

fn next_run(text: &str, from: usize) -> Option<Base64Run> {
    let bytes = text.as_bytes();
    let mut from = from;
    loop {
        let start = from + bytes[from..].iter().position(|&byte| is_digit(byte))?;
        let end = end_of_word(bytes, start);
        if end - start >= LINE_MIN {
            return Some(Base64Run { start, end: end_of_run(bytes, start, end) });
        }
        from = end;
    }
}

/// Follows the lines of a run. They hold nothing else, and each but the last is long and has no padding.
fn end_of_run(bytes: &[u8], start: usize, end: usize) -> usize {
    let (mut line, mut end) = (start..end, end);
    while line.len() >= LINE_MIN && bytes[end - 1] != b'=' {
        let gap = &bytes[end..end + bytes[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()];
        let next = end + gap.len()..end_of_word(bytes, end + gap.len());
        let is_on_a_line = gap.iter().any(|&byte| is_line_end(byte)) && ends_line(&bytes[next.end..]);
        if next.is_empty() || !is_on_a_line {
            break;
        }
        (end, line) = (next.end, next);
    }
    end
}

fn ends_line(rest: &[u8]) -> bool {
    rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|&byte| is_line_end(byte))
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Returns the end of the base64 word that begins at `start`, including its padding.
fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let n_digits = bytes[start..].iter().take_while(|&&byte| is_digit(byte) && byte != b'=').count();
    let end = start + n_digits;
    end + bytes[end..].iter().take(2).take_while(|&&byte| byte == b'=').count()
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Returns whether a run may be a certificate.
fn is_suspect(run: &str) -> bool {
    if run.len() < RUN_MIN {
        return false;
    }
    if run.bytes().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace()) {
        return begins_as_hexadecimal_der(run.as_bytes());
    }
    // The first 12 bits of a DER sequence of more than 127 bytes.
    run.starts_with("MI") || is_shaped_like_pem(run)
}

/// Returns whether digits are DER in hexadecimal.
pub(super) fn is_hexadecimal_der(digits: &[u8]) -> bool {
    begins_as_hexadecimal_der(digits) && digits.iter().all(u8::is_ascii_hexdigit)
}

/// A DER sequence of 128 bytes or more starts with 30 81 or 30 82.
fn begins_as_hexadecimal_der(digits: &[u8]) -> bool {
    digits.starts_with(b"3082") || digits.starts_with(b"3081")
}

/// Returns whether the run has two full lines of the same length, which no other text has.
fn is_shaped_like_pem(run: &str) -> bool {
    let lengths: Vec<usize> = run.split_ascii_whitespace().map(str::len).take(3).collect();
    matches!(lengths[..], [first, second, ..] if first == second && (60..=76).contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        runs(text).map(|run| &text[run.start..run.end]).collect()
    }

    #[test]
    fn a_body_without_markers_is_found_whole() {
        let body = format!("MII{}\n{}\nQUJD==", "x".repeat(61), "y".repeat(64));
        for text in [body.clone(), format!("a certificate:\n{body}\nthe end"), format!("certificate   {body}")] {
            assert_eq!(found(&text), [body.as_str()], "{text}");
        }
        let cut = format!("{0}\n{0}\nQUJD==", "Yz/+".repeat(16));
        assert_eq!(found(&cut), [cut.as_str()], "a run that lost its first line");
    }

    #[test]
    fn two_bodies_are_two_runs() {
        let body = format!("MII{}\nshort=", "x".repeat(120));
        assert_eq!(found(&format!("{body}\n{body}")).len(), 2);
    }

    #[test]
    fn text_that_is_not_a_certificate_is_ignored() {
        let hash = "0123456789abcdef".repeat(4);
        for text in [
            "subject=CN = device 7\nissuer=O = a very long name of a company that goes on and on, OU = and further still\n",
            &format!("{hash}\n{hash}\n{hash}\n"),
            &format!("Modulus={}\n", "AB".repeat(300)),
            &format!("/srv/lines/seven/certificates/{}\n", "a".repeat(30)),
            "MIIB",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
