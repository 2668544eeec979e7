//! Finds the PEM blocks of one file, stretch by stretch, or the one DER that it is.
//!
//! A stretch ends behind the END mark of a block wherever there is one, so no block is cut that is not far longer than
//! AWS takes. It tells where private keys stand and never hands one on.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::certificate::pem::{self, Section};
use crate::precheck::PEM_CHARS_MAX;

/// How much of a file is held: room for any block that AWS takes, and what stands before it.
const STRETCH: usize = 4 * PEM_CHARS_MAX;

/// Longest mark: BEGIN and END marks have at most 64 characters between dashes.
const MARK_MAX: usize = 80;

/// What a file holds.
pub(super) enum Piece {
    /// A block of a certificate or of a signing request, as it stands.
    Block { line: u64, text: String },
    /// The mark of a private key.
    PrivateKey { line: u64 },
    /// The whole file, or as much as fits a stretch.
    Der(Vec<u8>),
}

/// The pieces of one file.
pub(super) struct Blocks<R> {
    reader: R,
    held: Vec<u8>,
    /// The line at which `held` begins, counted from 1.
    line: u64,
    found: VecDeque<Piece>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Unread,
    Reading,
    Over,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, held: Vec::new(), line: 1, found: VecDeque::new(), state: State::Unread }
    }

    /// Reads on until something is found or the file is over.
    fn search(&mut self) -> io::Result<()> {
        while self.found.is_empty() && self.state != State::Over {
            let is_first = self.state == State::Unread;
            self.state = State::Reading;
            let room = STRETCH - self.held.len();
            let n_read = self.reader.by_ref().take(room as u64).read_to_end(&mut self.held)?;
            if n_read < room {
                self.state = State::Over;
            }
            if is_first && is_der(&self.held) {
                self.state = State::Over;
                self.found.push_back(Piece::Der(std::mem::take(&mut self.held)));
                return Ok(());
            }
            let rest = self.held.split_off(self.stretch_end());
            let stretch = std::mem::replace(&mut self.held, rest);
            self.split(&String::from_utf8_lossy(&stretch));
        }
        Ok(())
    }

    /// Where the next stretch ends: behind the last whole block, or else before a block that may be one.
    fn stretch_end(&self) -> usize {
        let held = self.held.as_slice();
        if self.state == State::Over {
            return held.len();
        }
        end_of_last_block(held)
            .or_else(|| rfind(held, b"-----BEGIN ").filter(|&begin| begin > 0))
            .unwrap_or(held.len() - MARK_MAX)
    }

    /// Takes a stretch to pieces.
    fn split(&mut self, stretch: &str) {
        let mut rest = stretch;
        for section in pem::sections(stretch).filter(is_wanted) {
            let start = section.start - (stretch.len() - rest.len());
            self.pass(&rest[..start]);
            self.found.push_back(Piece::Block { line: self.line, text: section.text.to_owned() });
            self.line += n_line_ends(section.text);
            rest = &rest[start + section.text.len()..];
        }
        self.pass(rest);
    }

    /// Passes over what stands between two blocks, but for private keys.
    fn pass(&mut self, between: &str) {
        if pem::holds_private_key(between) {
            let before = between.find("PRIVATE KEY").map_or("", |mark| &between[..mark]);
            self.found.push_back(Piece::PrivateKey { line: self.line + n_line_ends(before) });
        }
        self.line += n_line_ends(between);
    }
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.search() {
            Ok(()) => self.found.pop_front().map(Ok),
            Err(error) => {
                self.state = State::Over;
                Some(Err(error))
            }
        }
    }
}

fn is_wanted(section: &Section<'_>) -> bool {
    section.is_certificate() || section.is_certificate_request()
}

/// Says whether bytes begin as the DER of a certificate does: a SEQUENCE of more than 127 bytes. No text does.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

fn end_of_last_block(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"-----END ";
    let mut before = bytes;
    while let Some(start) = rfind(before, END) {
        let label = start + END.len();
        let near = &bytes[label..bytes.len().min(label + MARK_MAX)];
        if let Some(dashes) = near.windows(5).position(|window| window == b"-----") {
            return Some(label + dashes + 5);
        }
        before = &before[..start];
    }
    None
}

fn rfind(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

/// Counts line ends: LF, CRLF or CR.
fn n_line_ends(text: &str) -> u64 {
    let following = text.bytes().skip(1).map(Some).chain([None]);
    let is_end = |&(byte, next): &(u8, Option<u8>)| byte == b'\n' || (byte == b'\r' && next != Some(b'\n'));
    text.bytes().zip(following).filter(is_end).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----";

    /// Reads a few bytes at a time, as pipes do.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(7).min(self.0.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// The lines and texts of blocks; keys have no text, DER is its length.
    fn pieces(bytes: &[u8]) -> Vec<(u64, String)> {
        let show = |piece| match piece {
            Ok(Piece::Block { line, text }) => (line, text),
            Ok(Piece::PrivateKey { line }) => (line, String::new()),
            Ok(Piece::Der(der)) => (0, der.len().to_string()),
            Err(error) => panic!("{error}"),
        };
        Blocks::new(Trickle(bytes)).map(show).collect()
    }

    fn lines(text: &str) -> Vec<u64> {
        pieces(text.as_bytes()).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn blocks_know_their_line_whatever_ends_it() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = format!("\u{feff}Bag Attributes\n{BLOCK}\n\n{BLOCK}\nsubject=CN = 1\n").replace('\n', line_end);
            assert_eq!(lines(&text), [2, 6], "{line_end:?}");
        }
    }

    #[test]
    fn a_bundle_longer_than_a_stretch_is_read_block_by_block() {
        let n = 3 * STRETCH / BLOCK.len();
        let found = pieces(format!("{BLOCK}\n").repeat(n).as_bytes());
        assert_eq!(found.len(), n);
        assert!(found.iter().zip(0..).all(|((line, text), i)| *line == 1 + 3 * i && text == BLOCK));
    }

    #[test]
    fn a_block_that_a_stretch_ends_in_is_not_cut() {
        for n in (STRETCH - 70..STRETCH + 5).step_by(3) {
            let text = format!("{}{BLOCK}{}{BLOCK}", " ".repeat(n), "x".repeat(STRETCH));
            assert_eq!(pieces(text.as_bytes()), [(1, BLOCK.to_owned()), (3, BLOCK.to_owned())], "{n}");
        }
    }

    #[test]
    fn a_block_that_never_ends_is_told_and_does_not_hide_the_next() {
        let text = format!("-----BEGIN CERTIFICATE-----\n{}\n{BLOCK}\n", "QUJD".repeat(STRETCH));
        let found = pieces(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert!(found[0].1.len() > PEM_CHARS_MAX);
        assert_eq!(found[1], (3, BLOCK.to_owned()));
    }

    #[test]
    fn other_blocks_are_text_around_but_a_request_is_not() {
        let other = BLOCK.replace("CERTIFICATE", "X509 CRL");
        let request = BLOCK.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        assert_eq!(pieces(format!("{other}\n{request}\n").as_bytes()), [(4, request)]);
    }

    #[test]
    fn private_keys_are_marked_where_they_stand_and_never_handed_on() {
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let key = BLOCK.replace("CERTIFICATE", label);
            assert_eq!(lines(&format!("{BLOCK}\n{key}\n{BLOCK}\n")), [1, 4, 7]);
            assert!(pieces(key.as_bytes()).iter().all(|(_, text)| text.is_empty()));
        }
    }

    #[test]
    fn der_is_told_from_text_by_its_first_bytes() {
        assert_eq!(pieces(&[0x30, 0x82, 1, 0]), [(0, "4".to_owned())]);
        assert_eq!(pieces(&[vec![0x30, 0x82], vec![7; 2 * STRETCH]].concat()), [(0, STRETCH.to_string())]);
        assert!(pieces(b"0 certificates").is_empty() && pieces(b"").is_empty());
    }
}
