//! Derives malformed inputs from valid ones. The same seed gives the same inputs.

use fastrand::Rng;

/// Maximum size in bytes of a mutated input: most causes of failure show in a small one.
const INPUT_MAX: usize = 16 * 1024;

/// Maximum number of changes to one input.
const CHANGES_MAX: usize = 6;

/// Maximum size in bytes of a piece that is removed, duplicated or inserted.
const PIECE_MAX: usize = 64;

/// Words that have a meaning to the readers of the input.
const WORDS: [&[u8]; 30] = [
    b"-----BEGIN CERTIFICATE-----",
    b"-----END CERTIFICATE-----",
    b"-----BEGIN PRIVATE KEY-----",
    b"-----END EC PRIVATE KEY-----",
    b"PRIVATE KEY BLOCK-----",
    b"-----",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"\\u0000",
    b"\\u002d",
    b"\"version\":1,",
    b"\"status\":\"ACTIVE\",",
    b"\"operation\":\"RegisterCACertificate\",",
    b"\"certificateMode\":\"SNI_ONLY\",",
    b"\"tags\":[{\"Key\":\"aws:\"}],",
    b"\"registrationConfig\":{\"templateBody\":\"{}\"},",
    b"null",
    b"1e999",
    b"{\"",
    b"[[[[[[[[",
    b"`, expected",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x02\x01\x00",
    b"\x05\x00",
    b"\x06\x03\x55\x1d\x13",
    b"\x18\x0f00000101000000Z",
    b"\xa3\x02\x30\x00",
    b"\x1f\xff\xff\xff\xff\x7f",
];

/// Returns mutation `number` of a corpus, which must not be empty.
pub fn mutated(corpus: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..=CHANGES_MAX) {
        change(&mut input, corpus, &mut rng);
        input.truncate(INPUT_MAX);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let piece = at..input.len().min(at + rng.usize(..PIECE_MAX));
    match rng.u8(..8) {
        0 => drop(input.drain(piece)),
        1 => {
            let copy = input[piece].to_vec();
            drop(input.splice(at..at, copy));
        }
        2 => drop(input.splice(at..at, rng.choice(WORDS).unwrap_or_default().iter().copied())),
        3 => {
            let other = &corpus[rng.usize(..corpus.len())];
            let from = rng.usize(..=other.len());
            let inserted = &other[from..other.len().min(from + PIECE_MAX)];
            drop(input.splice(piece, inserted.iter().copied()));
        }
        // Lengths and counts are single bytes, so changing single bytes is worth the most.
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = match rng.u8(..4) {
                    0 => *byte ^ 1 << rng.u8(..8),
                    1 => byte.wrapping_add(1),
                    2 => byte.wrapping_sub(1),
                    _ => rng.u8(..),
                };
            }
        }
    }
}
