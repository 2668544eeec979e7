//! The bytes of one file, read chunk by chunk and separated into DER and text.

use std::io::{self, Read};

use muster_core::precheck::PEM_CHARS_MAX;

/// Most bytes of a file held in memory: room for any block that AWS accepts, and for what precedes it.
pub(super) const CHUNK_SIZE: usize = 4 * PEM_CHARS_MAX;

/// The number of bytes by which a certificate in DER is recognised in the middle of a file.
const HEADER: usize = 8;

/// The bytes of a file that were read but not yet taken.
pub(super) struct Source<R> {
    reader: R,
    held: Vec<u8>,
    is_over: bool,
}

/// What comes next.
pub(super) enum NextInput {
    /// A certificate in DER, or bytes that begin like one. Truncated to a chunk, or at the end of the file.
    Der(Vec<u8>),
    /// Bytes of text, up to the next certificate in DER if `is_last`.
    Text {
        bytes: Vec<u8>,
        /// Whether no more text follows these bytes.
        is_last: bool,
    },
    /// The end of the file.
    End,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, held: Vec::new(), is_over: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        let room = CHUNK_SIZE - self.held.len();
        if !self.is_over && room > 0 {
            let n_read = self.reader.by_ref().take(room as u64).read_to_end(&mut self.held)?;
            self.is_over = n_read < room;
        }
        Ok(())
    }

    /// Returns the next part. If `may_be_der` (at the start of a file, or after DER), anything that starts like DER is
    /// read as DER; otherwise only what starts like a certificate.
    pub(super) fn next(&mut self, may_be_der: bool) -> io::Result<NextInput> {
        self.fill()?;
        if self.held.is_empty() {
            return Ok(NextInput::End);
        }
        if begins_as_certificate(&self.held) || (may_be_der && begins_as_der(&self.held)) {
            let end = der_length(&self.held).unwrap_or(CHUNK_SIZE).min(self.held.len());
            return Ok(NextInput::Der(self.take(end)));
        }
        let next_der = (1..self.held.len()).find(|&at| begins_as_certificate(&self.held[at..]));
        let (end, is_last) = match next_der {
            Some(at) => (at, true),
            None if self.is_over => (self.held.len(), true),
            // The last bytes may be the start of a header.
            None => (self.held.len() - (HEADER - 1), false),
        };
        Ok(NextInput::Text { bytes: self.take(end), is_last })
    }

    /// Drops bytes up to the first that is not wanted, and returns how many.
    pub(super) fn skip(&mut self, is_wanted: impl Fn(u8) -> bool) -> io::Result<u64> {
        let mut n_skipped = 0;
        loop {
            self.fill()?;
            let n = self.held.iter().take_while(|&&byte| is_wanted(byte)).count();
            n_skipped += n as u64;
            let is_all = n == self.held.len();
            self.held.drain(..n);
            if n == 0 || !is_all {
                return Ok(n_skipped);
            }
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let rest = self.held.split_off(n);
        std::mem::replace(&mut self.held, rest)
    }
}

/// Returns whether bytes begin like DER: a SEQUENCE of more than 127 bytes, or of indefinite length. Text never
/// begins this way.
fn begins_as_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

/// Returns whether bytes begin like a certificate: a SEQUENCE in a SEQUENCE, the inner one slightly shorter.
fn begins_as_certificate(bytes: &[u8]) -> bool {
    let &[0x30, 0x82, high, low, 0x30, 0x82, inner_high, inner_low, ..] = bytes else { return false };
    let [outer, inner] = [[high, low], [inner_high, inner_low]].map(u16::from_be_bytes).map(u32::from);
    // They differ by the signature and its algorithm: a few bytes at least, and at most those of RSA-16384.
    (inner + 20..=inner + 2_200).contains(&outer)
}

/// Returns the length of the DER element at the start of `bytes`, according to its header.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let n_digits = usize::from(bytes.get(1)?.checked_sub(0x80)?);
    let digits = bytes.get(2..2 + n_digits).filter(|digits| !digits.is_empty())?;
    let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
    length.checked_add(2 + n_digits)
}
