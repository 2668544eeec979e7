//! Certificates assembled by hand from bytes, because no library produces such certificates.

use muster_core::certificate::pem;

/// The parts of a certificate, each in DER. The default is well-formed, but its signature is worthless.
#[derive(Clone)]
pub(super) struct CertificateParts {
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) validity: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    pub(super) signature: Vec<u8>,
}

impl Default for CertificateParts {
    fn default() -> Self {
        Self {
            serial: tlv(0x02, &[1]),
            algorithm: ECDSA_SHA256.to_vec(),
            issuer: name(b"hostile", 1),
            validity: validity(b"99991231235959Z"),
            subject: name(b"hostile", 1),
            key: spki(&[EC, P256].concat(), &GENERATOR),
            extensions: Vec::new(),
            signature: sequence(&[&tlv(0x02, &[0x7f; 32]), &tlv(0x02, &[0x7f; 32])]),
        }
    }
}

impl CertificateParts {
    /// Returns the parts of a CA whose subject equals its issuer.
    pub(super) fn ca() -> Self {
        Self { extensions: vec![basic_constraints(&CA_TRUE)], ..Self::default() }
    }

    pub(super) fn pem(&self) -> String {
        let version = tlv(0xa0, &tlv(0x02, &[2]));
        let extensions = tlv(0xa3, &tlv(0x30, &self.extensions.concat()));
        let signed = sequence(&[
            &version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &self.validity,
            &self.subject,
            &self.key,
            &extensions,
        ]);
        let signature = tlv(0x03, &[&[0][..], &self.signature].concat());
        pem::encode(pem::CERTIFICATE, &sequence(&[&signed, &self.algorithm, &signature]))
    }
}

pub(super) const CA_TRUE: [u8; 3] = [0x01, 0x01, 0xff];
pub(super) const EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
pub(super) const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
pub(super) const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
pub(super) const RSA_SHA256: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// The generator of P-256 (SEC 2, 2.4.2), compressed: a point whose other coordinate must be computed.
pub(super) const GENERATOR: [u8; 33] = [
    0x03, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
];

/// Encodes tag, length and value, with the length in the shortest form, as DER requires.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
    let length = match content.len() {
        0 => vec![0],
        0x01..0x80 => digits,
        _ => [&[0x80 | u8::try_from(digits.len()).expect("a length has up to eight bytes")], &digits[..]].concat(),
    };
    [&[tag][..], &length, content].concat()
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(super) fn nested(n_levels: usize) -> Vec<u8> {
    (0..n_levels).fold(Vec::new(), |inner, _| tlv(0x30, &inner))
}

pub(super) fn attribute(common_name: &[u8]) -> Vec<u8> {
    sequence(&[&[0x06, 0x03, 0x55, 0x04, 0x03], &tlv(0x0c, common_name)])
}

pub(super) fn name(common_name: &[u8], n_times: usize) -> Vec<u8> {
    tlv(0x30, &tlv(0x31, &attribute(common_name)).repeat(n_times))
}

pub(super) fn validity(not_after: &[u8]) -> Vec<u8> {
    sequence(&[&tlv(0x17, b"200101000000Z"), &tlv(0x18, not_after)])
}

pub(super) fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[algorithm]), &tlv(0x03, &[&[0][..], key].concat())])
}

pub(super) fn rsa(n_bytes: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = tlv(0x02, &[&[0][..], &vec![0xff; n_bytes]].concat());
    spki(RSA, &sequence(&[&modulus, exponent]))
}

/// Encodes an extension under id-ce (2.5.29).
pub(super) fn extension(arc: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[&[0x06, 0x03, 0x55, 0x1d, arc], &tlv(0x04, value)])
}

pub(super) fn basic_constraints(content: &[u8]) -> Vec<u8> {
    extension(0x13, &tlv(0x30, content))
}
