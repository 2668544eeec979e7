//! PEM text: found section by section in one linear scan, decoded on demand, written in one canonical form.
//!
//! The scan takes what people and tools really send: CR, CRLF or no line ends at all, a BOM, indentation, text around
//! and between the blocks. Every step moves forward, so hostile text costs no more than its length. It knows no
//! X.509.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// Most characters of a label; a longer one is text that looks like a section.
const LABEL_MAX: usize = 64;

/// The columns of canonical PEM (RFC 7468, 2).
const COLUMNS: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Tolerant of padding and left-over bits, as what is decoded is encoded anew before it goes anywhere.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One block of a PEM text, not yet decoded.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    /// What the block says that it holds; at most 64 capitals, digits and spaces.
    pub label: &'a str,
    /// The block as it stands, from its first to its last dash; a damaged one up to the next mark.
    pub text: &'a str,
    /// Where the block begins, in bytes of the whole text.
    pub start: usize,
    body: Result<&'a str, PemError>,
}

/// How a block is damaged. The texts complete the sentence "the block ...".
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// The next mark is not the block's END line, or there is none.
    #[error("has no END line")]
    Unterminated,
    /// The body has a character that base64 does not have, or too few of them.
    #[error("is not base64")]
    NotBase64,
    /// The body holds no byte.
    #[error("is empty")]
    Empty,
}

/// Finds the sections of a text, in order.
pub fn sections(text: &str) -> impl Iterator<Item = Section<'_>> + Clone {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = from_dashes(rest)?;
            let Some((label, after)) = rest.strip_prefix(BEGIN).and_then(label) else {
                rest = &rest[DASHES.len()..];
                continue;
            };
            let (body, after) = body(label, after);
            let (start, block) = (text.len() - rest.len(), &rest[..rest.len() - after.len()]);
            rest = after;
            return Some(Section { label, text: block, start, body });
        }
    })
}

/// Skips to the next five dashes that something other than a dash follows: a mark can begin only there.
fn from_dashes(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let bytes = rest.as_bytes();
        let start = bytes.iter().position(|&byte| byte == b'-')?;
        let n_dashes = bytes[start..].iter().position(|&byte| byte != b'-')?;
        let end = start + n_dashes;
        if n_dashes >= DASHES.len() {
            return Some(&rest[end - DASHES.len()..]);
        }
        rest = &rest[end..];
    }
}

/// Splits a label and its closing dashes off.
fn label(text: &str) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let end = text.bytes().take(LABEL_MAX + 1).position(|byte| !is_part(byte)).filter(|&end| end > 0)?;
    let after = text[end..].strip_prefix(DASHES)?;
    Some((&text[..end], after))
}

/// Splits a body and its END line off. Base64 has no dash, so the body ends at the next mark, whichever it is.
fn body<'a>(label: &str, text: &'a str) -> (Result<&'a str, PemError>, &'a str) {
    let Some(mark) = from_dashes(text) else { return (Err(PemError::Unterminated), "") };
    let body = &text[..text.len() - mark.len()];
    let after = mark.strip_prefix(END).and_then(|mark| mark.strip_prefix(label)).and_then(|m| m.strip_prefix(DASHES));
    match after {
        Some(after) => (Ok(body), after),
        None => (Err(PemError::Unterminated), mark),
    }
}

impl Section<'_> {
    /// Says whether the section holds a certificate.
    pub fn is_certificate(&self) -> bool {
        // OpenSSL reads the second label too; both become the first when they are sent on.
        matches!(self.label, CERTIFICATE | "X509 CERTIFICATE")
    }

    /// Says whether the section holds a certificate signing request.
    pub fn is_certificate_request(&self) -> bool {
        matches!(self.label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST")
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// The block is damaged.
    pub fn decode(&self) -> Result<Vec<u8>, PemError> {
        let body = self.body?.as_bytes();
        let mut digits = Vec::with_capacity(body.len());
        for run in body.split(u8::is_ascii_whitespace).filter(|run| !run.is_empty()) {
            digits.extend_from_slice(run);
        }
        let der = BASE64.decode(digits).map_err(|_| PemError::NotBase64)?;
        if der.is_empty() { Err(PemError::Empty) } else { Ok(der) }
    }
}

/// Says whether a text holds a private key, or the mark of one, in whatever state the rest of it is.
pub fn holds_private_key(text: &str) -> bool {
    private_key_mark(text).is_some()
}

/// Takes the private keys out of a text. A key without its first or last mark takes along what stands before or behind
/// it; of a text that hides a mark behind JSON's escapes nothing is left.
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
    if holds_private_key(&unescaped(&blanked)) { BLANK.to_owned() } else { blanked }
}

/// A mark of a private key: `-----BEGIN EC PRIVATE KEY-----`, dashes included.
struct KeyMark {
    /// Where it begins, if it is a BEGIN mark: in front of any other stands the key.
    start: Option<usize>,
    end: usize,
}

/// Finds the first mark of a private key.
fn private_key_mark(text: &str) -> Option<KeyMark> {
    let mut from = 0;
    loop {
        let bytes = text.as_bytes();
        let start = from + bytes[from..].iter().position(|&byte| byte == b'-')?;
        let n_dashes = bytes[start..].iter().position(|&byte| byte != b'-').unwrap_or(bytes.len() - start);
        from = start + n_dashes;
        let before = &text[..start];
        // The dashes of an SSH2 mark stand apart from its words.
        let words = if n_dashes >= 4 { before.strip_suffix(' ').unwrap_or(before) } else { before };
        // The marks of OPENSSH, ENCRYPTED, RSA, EC, DSA and plain keys end so; that of PGP has one word more.
        if words.strip_suffix(" BLOCK").unwrap_or(words).ends_with("PRIVATE KEY") {
            return Some(KeyMark { start: begin_mark(words), end: from });
        }
    }
}

/// Finds the start of a BEGIN mark that ends with a text.
fn begin_mark(text: &str) -> Option<usize> {
    let from = text.floor_char_boundary(text.len().saturating_sub(LABEL_MAX));
    let begin = from + text[from..].rfind("BEGIN ")?;
    Some(text[..begin].trim_end_matches(['-', ' ']).len())
}

/// A text whose JSON escapes of ASCII characters are undone.
fn unescaped(text: &str) -> String {
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
    unescaped + rest
}

/// Counts the characters that [`encode`] makes of `n_bytes` bytes.
pub fn encoded_chars(label: &str, n_bytes: usize) -> usize {
    let digits = n_bytes.div_ceil(3) * 4;
    let marks = BEGIN.len() + END.len() + 2 * (label.len() + DASHES.len() + 1);
    marks + digits + digits.div_ceil(COLUMNS)
}

/// Writes one block in canonical form: 64 columns, LF, a line end after the last line.
pub fn encode(label: &str, der: &[u8]) -> String {
    let digits = BASE64.encode(der);
    let mut text = String::with_capacity(encoded_chars(label, der.len()));
    text.extend([BEGIN, label, DASHES, "\n"]);
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend([END, label, DASHES, "\n"]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";

    fn first(text: &str) -> Result<Vec<u8>, PemError> {
        sections(text).next().expect(text).decode()
    }

    #[test]
    fn line_ends_bom_indentation_and_text_around_are_tolerated() {
        for text in [
            BLOCK.to_owned(),
            BLOCK.replace('\n', "\r\n"),
            BLOCK.replace('\n', "\r"),
            BLOCK.replace('\n', ""),
            BLOCK.replace('\n', "\n\t  "),
            format!("\u{feff}{BLOCK}"),
            format!("Bag Attributes\n  friendlyName: - x -----\n{BLOCK}subject=CN = 1\n"),
            BLOCK.replace("QUJD", "QU\n\nJ\u{c}D"),
        ] {
            assert_eq!(first(&text).as_deref(), Ok(&b"ABC"[..]), "{text}");
        }
    }

    #[test]
    fn sections_come_in_order_with_their_labels() {
        let text = format!("{BLOCK}{}{BLOCK}", BLOCK.replace("CERTIFICATE", "X509 CRL"));
        let labels: Vec<_> = sections(&text).map(|section| section.label).collect();
        assert_eq!(labels, ["CERTIFICATE", "X509 CRL", "CERTIFICATE"]);
    }

    #[test]
    fn a_section_knows_its_text_and_its_place() {
        let text = format!("before\n{BLOCK}{}", &BLOCK[..30]);
        let found: Vec<_> = sections(&text).map(|section| (section.start, section.text)).collect();
        assert_eq!(found, [(7, BLOCK.trim_end()), (7 + BLOCK.len(), &BLOCK[..30])]);
    }

    #[test]
    fn damaged_blocks_say_how() {
        assert_eq!(first("-----BEGIN CERTIFICATE-----QUJD"), Err(PemError::Unterminated));
        assert_eq!(first(&BLOCK.replace("END CERT", "END SERT")), Err(PemError::Unterminated));
        assert_eq!(first(&BLOCK.replace("QUJD", "QU*D")), Err(PemError::NotBase64));
        assert_eq!(first(&BLOCK.replace("QUJD", "QUJDR")), Err(PemError::NotBase64));
        assert_eq!(first(&BLOCK.replace("QUJD", "")), Err(PemError::Empty));
    }

    #[test]
    fn an_unterminated_block_does_not_hide_the_next() {
        let text = format!("-----BEGIN CERTIFICATE-----\nQUJD\n{BLOCK}");
        let decoded: Vec<_> = sections(&text).map(|section| section.decode()).collect();
        assert_eq!(decoded, [Err(PemError::Unterminated), Ok(b"ABC".to_vec())]);
    }

    #[test]
    fn text_that_only_looks_like_a_section_is_passed_over() {
        for text in ["", "-----BEGIN ", "-----BEGIN -----", "-----BEGIN <b>-----", "-----BEGIN CERTIFICATE----"] {
            assert_eq!(sections(text).count(), 0, "{text}");
        }
        assert_eq!(sections(&format!("-----BEGIN {}-----", "A".repeat(65))).count(), 0);
    }

    #[test]
    fn private_keys_are_seen_in_every_state() {
        for label in ["", "RSA ", "EC ", "DSA ", "ENCRYPTED ", "OPENSSH "] {
            assert!(holds_private_key(&format!("text\n-----BEGIN {label}PRIVATE KEY-----\nMII")), "{label}");
            assert!(holds_private_key(&format!("MII\r-----END {label}PRIVATE KEY-----")), "{label}");
        }
        assert!(holds_private_key("-----BEGIN PRIVATE KEY----\\nMII"));
        assert!(holds_private_key("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY"));
        assert!(holds_private_key("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/5"));
        assert!(!holds_private_key(BLOCK));
        assert!(!holds_private_key("The PRIVATE KEY stays in the chip\n"));
        assert!(!holds_private_key("PRIVATE KEY - it stays in the chip\n"));
    }

    #[test]
    fn private_keys_are_taken_out_of_a_text() {
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
            (r"-----BEGIN PRIVATE\u0020KEY-----SECRET".into(), "[private key removed]"),
            (r"\u002D----BEGIN PRIVATE KEY\u002d----SECRET".into(), "[private key removed]"),
        ] {
            assert_eq!(blank_private_keys(&text), blanked, "{text}");
        }
    }

    #[test]
    fn text_without_a_private_key_stays_as_it_is() {
        for text in [BLOCK, r#"{"a":"\u00"}"#, r"\u00e4 \u0041 \u00", "\\u00\u{e4}", "the PRIVATE KEY"] {
            assert_eq!(blank_private_keys(text), text);
        }
    }

    #[test]
    fn canonical_form_has_64_columns_and_reads_back() {
        for n_bytes in [1, 2, 47, 48, 49, 1000] {
            let der = vec![7; n_bytes];
            let text = encode(CERTIFICATE, &der);
            assert_eq!(text.len(), encoded_chars(CERTIFICATE, n_bytes));
            assert!(text.lines().all(|line| line.len() <= 64) && text.ends_with("-----\n"));
            assert_eq!(first(&text).unwrap(), der);
        }
    }
}
