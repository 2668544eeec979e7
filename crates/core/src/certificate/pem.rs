//! PEM text: found block by block in one linear scan, decoded on demand, written in one canonical form.
//!
//! The scan accepts what people and tools actually send: CR, CRLF or no line ends at all, a BOM, indentation, text
//! around and between the blocks. A damaged marker, or base64 without markers, is a block too: nothing that looks like
//! a certificate is ignored. Every step moves forward, so the cost of hostile text is linear in its length. It knows
//! nothing about X.509.

mod bare;
mod encoded;
mod escaped;
mod key_der;
mod key_mark;
mod marker;
mod private_key;

use std::borrow::Cow;
use std::collections::VecDeque;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use marker::{DASHES, Marker, markers};

pub use key_mark::holds_private_key;
pub use marker::BlockKind;
pub use private_key::{blank_private_keys, hides_private_key, hides_private_key_outside_certificates};

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// Characters per line of canonical PEM (RFC 7468, 2).
const COLUMNS: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Tolerates wrong padding and left-over bits, because decoded data is encoded again before it is passed on.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One block of a PEM text, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// What the block holds, according to its label.
    pub kind: BlockKind,
    /// The label as written; empty if the markers are missing.
    pub label: &'a str,
    /// The block as written, from its first to its last dash; without an END marker, up to the next marker.
    pub text: &'a str,
    /// Where the block begins, in bytes of the whole text.
    pub start: usize,
    /// How its markers are damaged, if they are.
    pub damage: Option<Damage>,
    body: &'a str,
}

/// How the markers of a block are damaged. The messages complete the sentence "the block ...".
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// A marker is not written correctly, or the two have different labels.
    #[error("has a damaged BEGIN or END line")]
    Marker,
    /// The BEGIN marker is missing.
    #[error("has no BEGIN line")]
    NoBegin,
    /// The END marker is missing.
    #[error("has no END line")]
    NoEnd,
    /// Both markers are missing.
    #[error("has no BEGIN line and no END line")]
    NoMarkers,
}

/// How the text of a block is damaged. The messages complete the sentence "the block ...".
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// A marker is missing, and the rest of the block is not a certificate.
    #[error("{0}, so its text may be cut off")]
    Marker(Damage),
    /// The body contains a character that is not base64.
    #[error("contains the character {0:?}, which is not base64")]
    NotBase64(char),
    /// The body has a character too few or too many.
    #[error("is not base64: it has a character too few or too many")]
    WrongLength,
    /// The body is a dump in hexadecimal digits.
    #[error("is hexadecimal, not base64")]
    Hexadecimal,
    /// The body is empty.
    #[error("is empty")]
    Empty,
}

/// Finds the blocks of a text, in order. Skips anything that does not look like a block.
pub fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut blocks =
        Blocks { text, markers: markers(text), ahead: None, at: 0, found: VecDeque::new(), is_over: false };
    std::iter::from_fn(move || blocks.next_block())
}

/// Removes NULs, which are left behind by tools that read UTF-16 as something else.
pub fn without_nuls(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

/// A scan in progress.
struct Blocks<'a, M> {
    text: &'a str,
    markers: M,
    /// A marker that was read but not used yet.
    ahead: Option<Marker<'a>>,
    /// Everything before this byte is done.
    at: usize,
    found: VecDeque<Block<'a>>,
    is_over: bool,
}

impl<'a, M: Iterator<Item = Marker<'a>>> Blocks<'a, M> {
    fn next_block(&mut self) -> Option<Block<'a>> {
        while self.found.is_empty() && !self.is_over {
            match self.next_marker() {
                Some(begin) if begin.is_begin => {
                    self.take_bare(begin.start);
                    self.take_block(begin);
                }
                Some(end) => self.take_end(end),
                None => {
                    self.take_bare(self.text.len());
                    self.is_over = true;
                }
            }
        }
        self.found.pop_front()
    }

    fn next_marker(&mut self) -> Option<Marker<'a>> {
        self.ahead.take().or_else(|| self.markers.next())
    }

    /// Takes the bodies without markers before `end`.
    fn take_bare(&mut self, end: usize) {
        let gap = &self.text[self.at..end];
        self.found.extend(bare::runs(gap).map(|run| {
            let text = &gap[run.start..run.end];
            let damage = Some(Damage::NoMarkers);
            Block { kind: BlockKind::Certificate, label: "", text, start: self.at + run.start, damage, body: text }
        }));
        self.at = end;
    }

    /// Takes the block of a BEGIN marker. Base64 has no dash, so the body ends at the next marker of either kind.
    fn take_block(&mut self, begin: Marker<'a>) {
        let next = self.next_marker();
        let (kind, end, body_end, damage) = match next {
            Some(end) if !end.is_begin => {
                let is_exact = begin.is_exact && end.is_exact && begin.label == end.label;
                (kind_between(begin, end), end.end, end.start, (!is_exact).then_some(Damage::Marker))
            }
            _ => {
                self.ahead = next;
                let end = next.map_or(self.text.len(), |next| next.start);
                (begin.kind, end, end, Some(Damage::NoEnd))
            }
        };
        let (text, body) = (&self.text[begin.start..end], &self.text[begin.end..body_end]);
        self.push(Block { kind, label: begin.label, text, start: begin.start, damage, body });
        self.at = end;
    }

    /// Takes the block of an END marker without a BEGIN marker: the body right before it belongs to it.
    fn take_end(&mut self, end: Marker<'a>) {
        let gap = &self.text[self.at..end.start];
        let own = bare::runs(gap).last().filter(|run| gap[run.end..].trim().is_empty());
        let start = own.map_or(end.start, |run| self.at + run.start);
        self.take_bare(start);
        let (text, body) = (&self.text[start..end.end], &self.text[start..end.start]);
        self.push(Block { kind: end.kind, label: end.label, text, start, damage: Some(Damage::NoBegin), body });
        self.at = end.end;
    }

    fn push(&mut self, block: Block<'a>) {
        if block.kind != BlockKind::Other {
            self.found.push_back(block);
        }
    }
}

/// Returns what two markers enclose. If they differ, the kind that must not be overlooked wins.
fn kind_between(begin: Marker<'_>, end: Marker<'_>) -> BlockKind {
    match (begin.kind, end.kind) {
        (BlockKind::PrivateKey, _) | (_, BlockKind::PrivateKey) => BlockKind::PrivateKey,
        (BlockKind::Other, kind) | (kind, _) => kind,
    }
}

impl Block<'_> {
    /// Returns whether its markers and the first digits of its body are those of a certificate.
    fn is_like_a_certificate(&self) -> bool {
        let is_der = self.body.trim_ascii_start().starts_with("MI");
        self.kind == BlockKind::Certificate && self.damage.is_none() && is_der
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// Fails if the block is damaged.
    pub fn decode(&self) -> Result<Vec<u8>, PemError> {
        let body = if self.damage == Some(Damage::NoEnd) { leading_base64(self.body) } else { self.body };
        let mut digits = Vec::with_capacity(body.len());
        for run in body.as_bytes().split(u8::is_ascii_whitespace).filter(|run| !run.is_empty()) {
            digits.extend_from_slice(run);
        }
        match digits.as_slice() {
            [] => Err(PemError::Empty),
            hexadecimal if bare::is_hexadecimal_der(hexadecimal) => Err(PemError::Hexadecimal),
            digits => BASE64.decode(digits).map_err(|_| damage_of(body)),
        }
    }
}

/// Returns the base64 at the start of a body. Without an END marker, anything may follow it.
fn leading_base64(body: &str) -> &str {
    &body[..end_of_leading_base64(body)]
}

/// Returns the end of the base64 at the start of a text: the rest of a block that was cut in the middle.
pub fn end_of_leading_base64(text: &str) -> usize {
    bare::end_of_leading_run(text)
}

fn damage_of(body: &str) -> PemError {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_ascii_whitespace();
    body.chars().find(|&c| !is_digit(c)).map_or(PemError::WrongLength, PemError::NotBase64)
}

/// Returns the number of characters that [`encode`] makes of `n_bytes` bytes.
pub fn encoded_chars(label: &str, n_bytes: usize) -> usize {
    let digits = n_bytes.div_ceil(3) * 4;
    let marks = BEGIN.len() + END.len() + 2 * (label.len() + DASHES.len() + 1);
    marks + digits + digits.div_ceil(COLUMNS)
}

/// Encodes one block in canonical form: 64 columns, LF line endings and a final newline.
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
        blocks(text).next().expect(text).decode()
    }

    type Found = (usize, Result<Vec<u8>, PemError>, Option<Damage>);

    /// Where blocks begin, what they hold and how they are damaged.
    fn found(text: &str) -> Vec<Found> {
        blocks(text).map(|block| (block.start, block.decode(), block.damage)).collect()
    }

    #[test]
    fn line_ends_boms_indentation_and_surrounding_text_are_tolerated() {
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
            let block = blocks(&text).next().expect(&text);
            assert_eq!((block.decode().as_deref(), block.damage), (Ok(&b"ABC"[..]), None), "{text}");
        }
    }

    #[test]
    fn blocks_keep_their_order_and_known_other_kinds_are_skipped() {
        let of = |label: &str| BLOCK.replace("CERTIFICATE", label);
        let text = format!("{BLOCK}{}{}{BLOCK}{}", of("X509 CRL"), of("EC PARAMETERS"), of("LINE DATA"));
        let labels: Vec<_> = blocks(&text).map(|block| (block.label, block.kind)).collect();
        let certificate = ("CERTIFICATE", BlockKind::Certificate);
        assert_eq!(labels, [certificate, certificate, ("LINE DATA", BlockKind::Unknown)]);
    }

    #[test]
    fn a_block_has_its_text_and_start() {
        let text = format!("before\n{BLOCK}{}", &BLOCK[..30]);
        let found: Vec<_> = blocks(&text).map(|block| (block.start, block.text)).collect();
        assert_eq!(found, [(7, BLOCK.trim_end()), (7 + BLOCK.len(), &BLOCK[..30])]);
    }

    #[test]
    fn damaged_bodies_give_precise_errors() {
        assert_eq!(first(&BLOCK.replace("QUJD", "QU*D")), Err(PemError::NotBase64('*')));
        assert_eq!(first(&BLOCK.replace('\n', "\\n")), Err(PemError::NotBase64('\\')));
        assert_eq!(first(&BLOCK.replace("QUJD", "QUJDR")), Err(PemError::WrongLength));
        assert_eq!(first(&BLOCK.replace("QUJD", &"3082".repeat(30))), Err(PemError::Hexadecimal));
        assert_eq!(first(&BLOCK.replace("QUJD", "")), Err(PemError::Empty));
    }

    #[test]
    fn damaged_markers_are_found_and_reported() {
        let begin = |begin: &str| BLOCK.replace("-----BEGIN CERTIFICATE-----", begin);
        let end = |end: &str| BLOCK.replace("-----END CERTIFICATE-----", end);
        for text in [
            begin("----BEGIN CERTIFICATE-----"),
            begin("-----BEGIN CERTIFICATE----"),
            begin("BEGIN CERTIFICATE-"),
            begin("- BEGIN CERTIFICATE"),
            begin("–––––BEGIN CERTIFICATE–––––"),
            begin("—BEGIN CERTIFICATE—"),
            begin("\u{fffd}BEGIN CERTIFICATE\u{fffd}"),
            begin("-----begin certificate-----"),
            begin("-----BEGIN  CERTIFICATE-----"),
            begin("-----BEGIN CERTIFICATE -----"),
            begin("-----BEGIN X.509 CERTIFICATE-----"),
            end("-----END X509 CERTIFICATE-----"),
            end("---END CERTIFICATE---"),
            end("-----End Certificate-----"),
            end("-----END PUBLIC KEY-----"),
        ] {
            assert_eq!(found(&text)[0].1.as_deref(), Ok(&b"ABC"[..]), "{text}");
            assert_eq!(blocks(&text).map(|block| block.damage).collect::<Vec<_>>(), [Some(Damage::Marker)], "{text}");
        }
    }

    #[test]
    fn two_markers_on_one_line_are_both_found() {
        for between in ["----------", "-----", "-----\u{a0}-----", "--"] {
            let text = format!("{BLOCK}{BLOCK}").replace("-----\n-----BEGIN", &format!("{between}BEGIN"));
            let decoded: Vec<_> = blocks(&text).map(|block| block.decode()).collect();
            assert_eq!(decoded, [Ok(b"ABC".to_vec()), Ok(b"ABC".to_vec())], "{text}");
        }
    }

    #[test]
    fn a_missing_marker_is_reported_and_hides_no_block() {
        let body = "MIIB".repeat(30);
        let der = Ok(BASE64.decode(&body).unwrap());
        let abc = Ok(b"ABC".to_vec());
        let no_end = format!("-----BEGIN CERTIFICATE-----\n{body}\n{BLOCK}");
        let n = no_end.len() - BLOCK.len();
        assert_eq!(found(&no_end), [(0, der.clone(), Some(Damage::NoEnd)), (n, abc.clone(), None)]);
        let no_begin = format!("{BLOCK}{body}\n-----END CERTIFICATE-----\n{BLOCK}");
        let n = no_begin.len() - BLOCK.len();
        let lost = (BLOCK.len(), der.clone(), Some(Damage::NoBegin));
        assert_eq!(found(&no_begin), [(0, abc.clone(), None), lost, (n, abc.clone(), None)]);
        let none = format!("{BLOCK}{body}\n{BLOCK}");
        let lost = (BLOCK.len(), der, Some(Damage::NoMarkers));
        assert_eq!(found(&none), [(0, abc.clone(), None), lost, (none.len() - BLOCK.len(), abc.clone(), None)]);
        assert_eq!(found("-----END CERTIFICATE-----"), [(0, Err(PemError::Empty), Some(Damage::NoBegin))]);
        assert_eq!(found("-----BEGIN CERTIFICATE-----QUJD"), [(0, abc, Some(Damage::NoEnd))]);
    }

    #[test]
    fn text_that_only_looks_like_a_marker_is_ignored() {
        for text in [
            "",
            "-----BEGIN ",
            "-----BEGIN -----",
            "-----BEGIN <b>-----",
            "the weekend certificate - of line 7",
            "- at the end of certificates -",
            "-- the end --",
            "Certificate chain\n 0 s:CN = device\n---\nServer certificate\n",
        ] {
            assert_eq!(blocks(text).count(), 0, "{text}");
        }
        assert_eq!(blocks(&format!("-----BEGIN {}-----", "A".repeat(65))).count(), 0);
    }

    #[test]
    fn either_marker_alone_identifies_a_private_key() {
        for text in [
            "-----BEGIN EC PRIVATE KEY-----\nQUJD\n-----END EC PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----END PRIVATE KEY-----",
            "–BEGIN PRIVATE KEY–\nQUJD",
        ] {
            assert_eq!(blocks(text).map(|block| block.kind).collect::<Vec<_>>(), [BlockKind::PrivateKey], "{text}");
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
