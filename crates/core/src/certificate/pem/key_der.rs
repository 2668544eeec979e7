//! Recognises private keys in DER by their structure: PKCS #8, plain and encrypted, PKCS #1 and SEC 1.
//!
//! A key may start anywhere, and counts even if it is cut off. Only headers are read, a few for each byte that may
//! start a key, so the cost of hostile bytes is linear in their length.

use crate::certificate::der::tag;

/// The start of an OpenSSH key, which is not DER.
const OPENSSH: &[u8] = b"openssh-key-v1\0";

/// The prefixes of the schemes that encrypt a PKCS #8 key: `1.2.840.113549.1.5` and `1.2.840.113549.1.12.1`.
const ENCRYPTION: [&[u8]; 2] =
    [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01]];

/// Size in bytes of the secret number on named curves: from 112 to 521 bits.
const EC_BYTES: std::ops::RangeInclusive<usize> = 14..=66;

/// Minimum size in bytes of an RSA modulus.
const RSA_BYTES_MIN: usize = 32;

/// Returns whether `bytes` start with a private key. Other bytes may follow it.
pub(super) fn begins_key(bytes: &[u8]) -> bool {
    bytes.starts_with(OPENSSH) || begins_der_key(bytes)
}

fn begins_der_key(bytes: &[u8]) -> bool {
    let Some((outer, _)) = part(bytes).filter(|(outer, _)| outer.tag == tag::SEQUENCE) else { return false };
    let Some((first, rest)) = part(outer.content) else { return false };
    let Some((second, rest)) = part(rest) else { return false };
    let third = part(rest).map(|(third, _)| third);
    let third_tag = third.map(|third| third.tag);
    match (first.tag, first.content, second.tag) {
        // PKCS #8: version, algorithm, key.
        (tag::INTEGER, [0 | 1], tag::SEQUENCE) => {
            second.content.first() == Some(&tag::OID) && third_tag == Some(tag::OCTET_STRING)
        }
        // PKCS #1: version, modulus, exponent.
        (tag::INTEGER, [0 | 1], tag::INTEGER) => second.n_bytes >= RSA_BYTES_MIN && third_tag == Some(tag::INTEGER),
        // SEC 1: version, key, and optionally the curve and the public key.
        (tag::INTEGER, [1], tag::OCTET_STRING) => {
            EC_BYTES.contains(&second.n_bytes) && matches!(third_tag, None | Some(tag::CONTEXT_0 | 0xa1))
        }
        // Encrypted PKCS #8: scheme, key.
        (tag::SEQUENCE, scheme, tag::OCTET_STRING) => part(scheme).is_some_and(|(oid, _)| {
            oid.tag == tag::OID && ENCRYPTION.iter().any(|encryption| oid.content.starts_with(encryption))
        }),
        _ => false,
    }
}

/// An element whose end may be missing.
struct DerPart<'a> {
    tag: u8,
    /// Length in bytes according to its header.
    n_bytes: usize,
    /// The bytes that are present.
    content: &'a [u8],
}

/// Reads the element at the start of `bytes`, and returns what follows it.
fn part(bytes: &[u8]) -> Option<(DerPart<'_>, &[u8])> {
    let (n_bytes, rest) = match *bytes {
        [_, n @ 0..=0x7f, ref rest @ ..] | [_, 0x81, n, ref rest @ ..] => (usize::from(n), rest),
        [_, 0x82, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at(n_bytes.min(rest.len()));
    Some((DerPart { tag: bytes[0], n_bytes, content }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_key(bytes: &[u8]) -> bool {
        (0..bytes.len()).any(|at| begins_key(&bytes[at..]))
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        hex::decode(hexadecimal.replace(' ', "")).unwrap()
    }

    /// The first bytes of keys made by `openssl`.
    const KEYS: [(&str, &str); 4] = [
        ("PKCS #8, P-256", "308187 020100 301306072a8648ce3d020106082a8648ce3d030107 046d306b0201010420"),
        ("PKCS #8, Ed25519", "302e 020100 300506032b6570 04220420"),
        ("PKCS #8, RSA", "308204bd 020100 300d06092a864886f70d0101010500 048204a7"),
        ("SEC 1", "3077 020101 0420 1111111111111111111111111111111111111111111111111111111111111111 a00a0608"),
    ];

    #[test]
    fn keys_are_recognised_wherever_they_begin() {
        let rsa = "308204a3 020100 02820101".to_owned() + &"c1".repeat(257) + "0203010001";
        let encrypted = "3081ec 3057 0609 2a864886f70d01050d".to_owned() + &"00".repeat(76) + "048190";
        for (name, key) in KEYS.into_iter().chain([("PKCS #1", &*rsa), ("encrypted", &*encrypted)]) {
            assert!(holds_key(&bytes(key)), "{name}");
            assert!(holds_key(&[b"0words in front", &*bytes(key), b"behind"].concat()), "{name}");
        }
        assert!(holds_key(b"xopenssh-key-v1\0\0\0"));
    }

    #[test]
    fn other_structures_are_not_keys() {
        for (name, other) in [
            ("a certificate of version 1 with serial number 0", "3081a0 020100 300a06082a8648ce3d040302 30123110"),
            ("a signing request", "3081a0 020100 30123110300e0603550403 3059"),
            ("a public RSA key", "3082010a 0282010100c1c2"),
            ("a digest", "3031 300d060960864801650304020105000420"),
            ("a signature", "3006 020101 020101"),
            ("an extension", "300a 020101 0403010203"),
            ("nothing", "30"),
        ] {
            assert!(!holds_key(&bytes(other)), "{name}");
        }
    }
}
