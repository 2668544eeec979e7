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
            rest = after;
            return Some(Section { label, body });
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
    // The marks of OPENSSH, ENCRYPTED, RSA, EC, DSA and plain keys, BEGIN and END, all end in these words and dashes.
    let mut words = text.as_bytes().split(|&byte| byte == b' ');
    let mut before = words.next().unwrap_or_default();
    words.any(|word| std::mem::replace(&mut before, word).ends_with(b"PRIVATE") && word.starts_with(b"KEY-"))
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
        assert!(!holds_private_key(BLOCK));
        assert!(!holds_private_key("The PRIVATE KEY stays in the chip\n"));
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
