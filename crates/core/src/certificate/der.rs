//! A DER reader, one element at a time: just enough for X.509 certificates.
//!
//! Elements have one tag byte and a definite length. Every step moves forward, so the cost of hostile bytes is linear
//! in their length. It knows nothing about X.509.

/// The tags that certificates use.
pub(super) mod tag {
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const BIT_STRING: u8 = 0x03;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const NULL: u8 = 0x05;
    pub(in super::super) const OID: u8 = 0x06;
    pub(in super::super) const UTC_TIME: u8 = 0x17;
    pub(in super::super) const GENERALIZED_TIME: u8 = 0x18;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
    /// `[0]`, constructed: the version of a certificate, the attributes of a signing request.
    pub(in super::super) const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed or not: the unique id of the issuer.
    pub(in super::super) const CONTEXT_1: [u8; 2] = [0x81, 0xa1];
    /// `[2]`, constructed or not: the unique id of the subject.
    pub(in super::super) const CONTEXT_2: [u8; 2] = [0x82, 0xa2];
    /// `[3]`, constructed: the extensions of a certificate.
    pub(in super::super) const CONTEXT_3: u8 = 0xa3;
}

/// One element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) raw: &'a [u8],
}

/// Why an element could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DerError {
    /// There are no more bytes.
    Missing,
    /// The element is longer than the bytes that are left.
    CutOff {
        /// Length in bytes according to the element's header.
        expected: usize,
        /// Number of bytes present.
        found: usize,
    },
    /// The length is indefinite, which BER allows and DER does not, or too large for any memory.
    UnusableLength,
}

/// Reads the element at the start of `bytes`, and returns what follows it.
pub(super) fn element(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), DerError> {
    let &[tag, first, ref rest @ ..] = bytes else {
        return Err(if bytes.is_empty() { DerError::Missing } else { DerError::CutOff { expected: 2, found: 1 } });
    };
    let (length, n_digits) = match first {
        0..=0x7f => (usize::from(first), 0),
        0x81..=0x84 => {
            let n_digits = usize::from(first & 0x7f);
            let digits = rest.get(..n_digits).ok_or(DerError::CutOff { expected: 2 + n_digits, found: bytes.len() })?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), n_digits)
        }
        _ => return Err(DerError::UnusableLength),
    };
    let header = 2 + n_digits;
    let end = header.checked_add(length).ok_or(DerError::UnusableLength)?;
    let raw = bytes.get(..end).ok_or(DerError::CutOff { expected: end, found: bytes.len() })?;
    Ok((Element { tag, content: &raw[header..], raw }, &bytes[end..]))
}

/// Reads the elements of a sequence or set, up to the first that cannot be read.
pub(super) fn elements(content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (element, after) = element(rest).ok()?;
        rest = after;
        Some(element)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_in_order() {
        let bytes = [0x02, 0x01, 0x07, 0x30, 0x81, 0x02, 0x05, 0x00, 0x04];
        let (first, rest) = element(&bytes).unwrap();
        assert_eq!((first.tag, first.content, first.raw), (0x02, &bytes[2..3], &bytes[..3]));
        let (second, rest) = element(rest).unwrap();
        assert_eq!((second.tag, second.content, rest), (0x30, &bytes[6..8], &bytes[8..]));
        assert_eq!(elements(&bytes).count(), 2);
    }

    #[test]
    fn invalid_lengths_are_errors_not_panics() {
        for (bytes, error) in [
            (&[][..], DerError::Missing),
            (&[0x30], DerError::CutOff { expected: 2, found: 1 }),
            (&[0x30, 0x82, 0x01], DerError::CutOff { expected: 4, found: 3 }),
            (&[0x30, 0x03, 0x00], DerError::CutOff { expected: 5, found: 3 }),
            (&[0x30, 0x80, 0x00, 0x00], DerError::UnusableLength),
            (&[0x30, 0x88, 0xff, 0xff], DerError::UnusableLength),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::CutOff { expected: 6 + 0xffff_ffff, found: 6 }),
        ] {
            assert_eq!(element(bytes), Err(error), "{bytes:02x?}");
        }
    }
}
