//! Splits one file into pieces: PEM blocks, certificates in DER and lines of a rejects file, in any mixture.
//!
//! Files are concatenated in odd ways (`cat *.crt`), so text and DER may follow each other. Reports the positions of
//! private keys but never passes one on.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::record::JsonRecord;
use super::source::{NextInput, Source};
use super::text::FileText;
use muster_core::certificate::input::is_padding;

/// One piece of a file.
pub(super) enum Piece {
    /// A PEM block of a certificate, or of something that looks like one, unchanged.
    Block { line: u64, text: String },
    /// A certificate in DER, or bytes that begin like one.
    Der(Vec<u8>),
    /// Padding after the last certificate in DER.
    Padding { bytes: u64 },
    /// Bytes after a certificate in DER that are neither padding nor text with a block.
    Garbage { bytes: u64 },
    /// A line of a rejects file or of another JSON Lines file.
    Record { line: u64, record: JsonRecord },
    /// The marker of a private key.
    PrivateKey { line: u64 },
}

/// The pieces of one file.
pub(super) struct Pieces<R> {
    source: Source<R>,
    text: FileText,
    found: VecDeque<Piece>,
    state: PieceState,
    /// The number of bytes of text without a block after a certificate in DER.
    n_garbage: Option<u64>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum PieceState {
    Start,
    Text,
    Lines,
    AfterDer,
    Done,
}

impl<R: Read> Pieces<R> {
    pub(super) fn new(reader: R) -> Self {
        let (source, text) = (Source::new(reader), FileText::new());
        Self { source, text, found: VecDeque::new(), state: PieceState::Start, n_garbage: None }
    }

    /// Reads until a piece is found or the file ends.
    fn search(&mut self) -> io::Result<()> {
        while self.found.is_empty() && self.state != PieceState::Done {
            let may_be_der = matches!(self.state, PieceState::Start | PieceState::AfterDer);
            match self.source.next(may_be_der)? {
                NextInput::Der(der) => self.take_der(der)?,
                NextInput::Text { bytes, is_last } => self.take_text(&bytes, is_last),
                NextInput::End => self.state = PieceState::Done,
            }
        }
        Ok(())
    }

    fn take_der(&mut self, der: Vec<u8>) -> io::Result<()> {
        self.found.push_back(Piece::Der(der));
        match self.source.skip(is_padding)? {
            0 => {}
            bytes => self.found.push_back(Piece::Padding { bytes }),
        }
        (self.state, self.n_garbage) = (PieceState::AfterDer, Some(0));
        Ok(())
    }

    fn take_text(&mut self, bytes: &[u8], is_last: bool) {
        self.text.push(bytes, is_last);
        if self.state == PieceState::Start {
            let is_record = self.text.first_line().is_some_and(JsonRecord::is_in);
            self.state = if is_record { PieceState::Lines } else { PieceState::Text };
        }
        if self.state == PieceState::Lines {
            let lines = self.text.take_lines(is_last).into_iter().filter(|(_, text)| !text.trim().is_empty());
            self.found.extend(lines.map(|(line, text)| Piece::Record { line, record: JsonRecord::read(&text) }));
            return;
        }
        self.state = PieceState::Text;
        self.text.split(is_last, &mut self.found);
        self.n_garbage = self.n_garbage.filter(|_| self.found.is_empty()).map(|n| n + bytes.len() as u64);
        if let Some(bytes) = self.n_garbage.filter(|_| is_last) {
            self.found.push_back(Piece::Garbage { bytes });
            self.n_garbage = None;
        }
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.search() {
            Ok(()) => self.found.pop_front().map(Ok),
            Err(error) => {
                self.state = PieceState::Done;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::CHUNK_SIZE;
    use super::*;
    use muster_core::certificate::pem;
    use muster_core::precheck::PEM_CHARS_MAX;
    use muster_sandbox::specimen::Ca;

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

    /// The lines and texts of blocks; keys have no text, other pieces are named.
    fn pieces(bytes: &[u8]) -> Vec<(u64, String)> {
        let show = |piece| match piece {
            Ok(Piece::Block { line, text }) => (line, text),
            Ok(Piece::PrivateKey { line }) => (line, String::new()),
            Ok(Piece::Der(der)) => (0, format!("DER {}", der.len())),
            Ok(Piece::Padding { bytes }) => (0, format!("padding {bytes}")),
            Ok(Piece::Garbage { bytes }) => (0, format!("garbage {bytes}")),
            Ok(Piece::Record { line, record }) => (line, format!("{record:?}")),
            Err(error) => panic!("{error}"),
        };
        Pieces::new(Trickle(bytes)).map(show).collect()
    }

    fn lines(text: &str) -> Vec<u64> {
        pieces(text.as_bytes()).into_iter().map(|(line, _)| line).collect()
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn block_lines_are_right_for_every_line_ending() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = format!("\u{feff}Bag Attributes\n{BLOCK}\n\n{BLOCK}\nsubject=CN = 1\n").replace('\n', line_end);
            assert_eq!(lines(&text), [2, 6], "{line_end:?}");
        }
    }

    #[test]
    fn a_bundle_longer_than_a_chunk_is_read_block_by_block() {
        let n = 3 * CHUNK_SIZE / BLOCK.len();
        let found = pieces(format!("{BLOCK}\n").repeat(n).as_bytes());
        assert_eq!(found.len(), n);
        assert!(found.iter().zip(0..).all(|((line, text), i)| *line == 1 + 3 * i && text == BLOCK));
    }

    #[test]
    fn a_block_across_a_chunk_boundary_is_not_cut() {
        for n in (CHUNK_SIZE - 70..CHUNK_SIZE + 5).step_by(3) {
            let text = format!("{}{BLOCK}{}{BLOCK}", " ".repeat(n), "x,".repeat(CHUNK_SIZE / 2));
            assert_eq!(pieces(text.as_bytes()), [(1, BLOCK.to_owned()), (3, BLOCK.to_owned())], "{n}");
        }
    }

    #[test]
    fn an_oversized_block_is_one_piece_and_does_not_hide_the_next() {
        for end in ["", "-----END CERTIFICATE-----\n"] {
            let text = format!("-----BEGIN CERTIFICATE-----\n{}\n{end}{BLOCK}\n", "QUJD".repeat(CHUNK_SIZE));
            let found = pieces(text.as_bytes());
            assert_eq!(found.len(), 2, "{end}");
            assert!(found[0].1.len() > PEM_CHARS_MAX);
            assert_eq!(found[1].1, BLOCK);
        }
    }

    #[test]
    fn base64_without_end_is_one_piece() {
        let text = format!("{}\n", "QUJD".repeat(16)).repeat(4 * CHUNK_SIZE / 65);
        assert_eq!(pieces(text.as_bytes()).len(), 1);
    }

    #[test]
    fn other_blocks_are_skipped_but_requests_are_not() {
        let other = BLOCK.replace("CERTIFICATE", "X509 CRL");
        let request = BLOCK.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        assert_eq!(pieces(format!("{other}\n{request}\n").as_bytes()), [(4, request)]);
    }

    #[test]
    fn private_keys_are_located_but_never_passed_on() {
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let key = BLOCK.replace("CERTIFICATE", label);
            for key in [key.clone(), key.replace("-----", "–"), key.to_lowercase(), key.replace("-----END", "END")] {
                assert_eq!(lines(&format!("{BLOCK}\n{key}\n{BLOCK}\n")), [1, 4, 7], "{key}");
                assert!(pieces(key.as_bytes()).iter().all(|(_, text)| text.is_empty()), "{key}");
            }
        }
    }

    #[test]
    fn der_is_recognised_by_its_first_bytes() {
        assert_eq!(pieces(&[0x30, 0x82, 1, 0]), [(0, "DER 4".to_owned())]);
        let long = [vec![0x30, 0x84, 0x7f, 0, 0, 0], vec![7; 2 * CHUNK_SIZE]].concat();
        assert_eq!(pieces(&long)[0], (0, format!("DER {CHUNK_SIZE}")));
        assert!(pieces(b"0 certificates").is_empty() && pieces(b"").is_empty());
    }

    #[test]
    fn der_and_text_may_follow_each_other() {
        let ca = Ca::new("Plant CA");
        let (der, text) = (ca.certificate().der(), ca.pem());
        let one = format!("DER {}", der.len());
        let names = |bytes: &[&[u8]]| -> Vec<String> {
            let shorten = |(_, text): (u64, String)| if text.starts_with("--") { "PEM".to_owned() } else { text };
            pieces(&bytes.concat()).into_iter().map(shorten).collect()
        };
        assert_eq!(names(&[der, der, der]), [one.as_str(); 3]);
        assert_eq!(names(&[text.as_bytes(), der, text.as_bytes()]), ["PEM", &one, "PEM"]);
        assert_eq!(names(&[der, b"\r\n", text.as_bytes()]), [&one, "padding 2", "PEM"]);
        assert_eq!(names(&[der, &vec![0xff; 3 * CHUNK_SIZE]]), [one.clone(), format!("padding {}", 3 * CHUNK_SIZE)]);
        assert_eq!(names(&[der, b"\0\0", der]), [&one, "padding 2", &one]);
        assert_eq!(names(&[der, b"garbage"]), [&one, "garbage 7"]);
        assert_eq!(names(&[der, b"garbage", der]), [&one, "garbage 7", &one]);
        assert_eq!(names(&[b"a header of a dump", der]), [one.as_str()]);
        assert_eq!(names(&[&vec![b' '; CHUNK_SIZE - 3], der]), [one.as_str()], "a header at the end of a chunk");
    }

    #[test]
    fn utf16_is_text_wherever_it_begins() {
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let block = format!("{BLOCK}\n");
            for text in [format!("\u{feff}{block}"), block.clone()] {
                assert_eq!(pieces(&utf16(&text, to_bytes)), [(1, BLOCK.to_owned())]);
            }
            let appended = [block.as_bytes(), &utf16(&format!("\u{feff}{block}"), to_bytes)].concat();
            assert_eq!(pieces(&appended), [(1, BLOCK.to_owned()), (4, BLOCK.to_owned())]);
        }
        let long = format!("\u{feff}{}", format!("{BLOCK}\r\n").repeat(CHUNK_SIZE / 40));
        assert_eq!(pieces(&utf16(&long, u16::to_le_bytes)).len(), CHUNK_SIZE / 40);
    }

    #[test]
    fn json_lines_are_records() {
        let line = |pem: &str| serde_json::json!({ "certificatePem": pem, "ref": "SN-1" }).to_string();
        let text = format!("{}\n\n{}\nno JSON\n", line(BLOCK), line("x"));
        assert_eq!(lines(&text), [1, 3, 4]);
        let pretty = format!("{{\n\"certificatePem\": \"{}\"\n}}", BLOCK.replace('\n', "\\n"));
        assert_eq!(pieces(pretty.as_bytes()), [(2, BLOCK.replace('\n', "\\n"))], "not JSON Lines, but a block");
        assert_eq!(pem::blocks(&pretty).count(), 1);
    }
}
