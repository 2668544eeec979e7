//! The text of one file: decodes it and splits it into PEM blocks, each with its line.
//!
//! Reads UTF-8, UTF-16 and other encodings. Drops NULs, which UTF-16 in the middle of a file in another encoding leaves
//! behind. Memory holds one chunk of the text, however long it is.

use encoding_rs::{Decoder, UTF_8, UTF_16BE, UTF_16LE};

use super::Piece;
use super::source::CHUNK_SIZE;
use muster_core::certificate::pem::{self, Block, BlockKind, Damage};

/// Longest marker including its dashes. A block that ends closer than this to the end of the held text may continue.
const MARKER_MAX: usize = 256;

/// How much of a text without a block is kept: it may end in the start of a marker, or in base64 that is still too
/// short.
const TAIL: usize = 1024;

/// The text of a file that was read but not yet split.
pub(super) struct FileText {
    decoder: Option<Decoder>,
    held: String,
    /// The line at which `held` begins, from 1.
    line: u64,
    /// Whether `held` begins inside a block that was longer than a chunk and is already reported.
    is_inside: bool,
}

impl FileText {
    pub(super) fn new() -> Self {
        Self { decoder: None, held: String::new(), line: 1, is_inside: false }
    }

    /// Adds bytes. After `is_last`, the next bytes begin another text.
    pub(super) fn push(&mut self, bytes: &[u8], is_last: bool) {
        let mut decoder = self.decoder.take().unwrap_or_else(|| decoder_for(bytes));
        let n = decoder.max_utf8_buffer_length(bytes.len()).expect("a chunk fits the memory");
        self.held.reserve(n);
        let _ = decoder.decode_to_string(bytes, &mut self.held, is_last);
        if self.held.contains('\0') {
            self.held.retain(|c| c != '\0');
        }
        self.decoder = (!is_last).then_some(decoder);
    }

    /// Takes the complete lines; with `is_last`, also the unterminated last one.
    pub(super) fn take_lines(&mut self, is_last: bool) -> Vec<(u64, String)> {
        let end = if is_last { self.held.len() } else { self.held.rfind('\n').map_or(0, |at| at + 1) };
        // A line longer than a chunk is taken as it is: it cannot be from a rejects file.
        let end = if end == 0 && self.held.len() >= CHUNK_SIZE { self.held.len() } else { end };
        let rest = self.held.split_off(end);
        let lines = std::mem::replace(&mut self.held, rest);
        let numbered = lines.lines().zip(self.line..).map(|(line, n)| (n, line.to_owned())).collect();
        self.line += n_line_ends(&lines);
        numbered
    }

    /// Returns the first held line, which may be incomplete.
    pub(super) fn first_line(&self) -> Option<&str> {
        self.held.lines().next()
    }

    /// Splits off the blocks that are certainly complete; with `is_last`, everything.
    pub(super) fn split(&mut self, is_last: bool, pieces: &mut impl Extend<Piece>) {
        let mut text = std::mem::take(&mut self.held);
        let was_inside = std::mem::take(&mut self.is_inside);
        let offset = if was_inside { pem::end_of_leading_base64(&text) } else { 0 };
        if was_inside && offset == text.len() {
            self.line += n_line_ends(&text);
            self.is_inside = !is_last;
            return;
        }
        let blocks: Vec<Block<'_>> = pem::blocks(&text[offset..]).collect();
        let (mut sure, unsure) = self.sure(&blocks, &text[offset..], is_last);
        // The END marker of a block that was too long to hold was already reported with the block.
        if let [Block { damage: Some(Damage::NoBegin), start: 0, .. }, others @ ..] = sure
            && was_inside
        {
            sure = others;
        }
        let mut at = 0;
        for block in sure {
            let start = offset + block.start;
            self.pass(&text[at..start], pieces);
            pieces.extend([match block.kind {
                BlockKind::PrivateKey => Piece::PrivateKey { line: self.line },
                _ => Piece::Block { line: self.line, text: block.text.to_owned() },
            }]);
            self.line += n_line_ends(block.text);
            at = start + block.text.len();
        }
        let keep_from = match unsure {
            _ if is_last => text.len(),
            Some(block) => offset + block.start,
            None => text.ceil_char_boundary(text.len().saturating_sub(TAIL)).max(at),
        };
        self.pass(&text[at..keep_from], pieces);
        self.held = text.split_off(keep_from);
    }

    /// Separates the complete blocks from the last one, if that may continue.
    fn sure<'a, 'b>(
        &mut self,
        blocks: &'b [Block<'a>],
        text: &str,
        is_last: bool,
    ) -> (&'b [Block<'a>], Option<&'b Block<'a>>) {
        let Some((last, others)) = blocks.split_last().filter(|_| !is_last) else { return (blocks, None) };
        let has_end = !matches!(last.damage, Some(Damage::NoEnd | Damage::NoMarkers));
        if has_end && last.start + last.text.len() + MARKER_MAX <= text.len() {
            return (blocks, None);
        }
        if others.is_empty() && last.start == 0 && text.len() + MARKER_MAX >= CHUNK_SIZE {
            // The block is longer than a chunk, far longer than AWS accepts.
            self.is_inside = true;
            return (blocks, None);
        }
        (others, Some(last))
    }

    /// Skips the text between two blocks, but reports private keys in it.
    fn pass(&mut self, between: &str, pieces: &mut impl Extend<Piece>) {
        if pem::holds_private_key(between) {
            let before = between.find("PRIVATE KEY").map_or("", |mark| &between[..mark]);
            pieces.extend([Piece::PrivateKey { line: self.line + n_line_ends(before) }]);
        }
        self.line += n_line_ends(between);
    }
}

/// Chooses a decoder: UTF-16 if every other byte is zero, otherwise by the byte order mark, with UTF-8 as default.
fn decoder_for(bytes: &[u8]) -> Decoder {
    match bytes {
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => UTF_16LE.new_decoder(),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => UTF_16BE.new_decoder(),
        _ => UTF_8.new_decoder(),
    }
}

/// Counts line ends: LF, CRLF or CR.
fn n_line_ends(text: &str) -> u64 {
    let following = text.bytes().skip(1).map(Some).chain([None]);
    let is_line_end = |&(byte, next): &(u8, Option<u8>)| byte == b'\n' || (byte == b'\r' && next != Some(b'\n'));
    text.bytes().zip(following).filter(is_line_end).count() as u64
}
