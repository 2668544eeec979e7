//! Hostile requests, meant to make a check slow or break it: the corpus of the cost test and the seed of fuzzing.
//!
//! Each is at the limit of 65,536 characters, or as close as its idea allows. The corpus depends only on the job and
//! the PEM writer, and is the same in every run.

mod authority;
mod parts;

use muster_core::certificate::pem;
use muster_core::job::RegisterCertificate;

use parts::{
    CertificateParts, EC, EXPONENT, P256, RSA, RSA_SHA256, attribute, basic_constraints, extension, name, nested, rsa,
    sequence, spki, tlv, validity,
};

pub use authority::ca_corpus;

/// One hostile request.
pub struct Hostile<R> {
    /// What it attempts, in a few words.
    pub name: &'static str,
    /// The request.
    pub request: R,
}

/// Number of bytes that fill a certificate up to the limit of its PEM text.
const FILL: usize = 47_000;

/// Returns the whole corpus of device registrations.
pub fn corpus() -> Vec<Hostile<RegisterCertificate>> {
    let mut corpus = Vec::new();
    corpus.extend(texts().map(|(name, text)| Hostile { name, request: request(text, None) }));
    corpus.extend(ders().map(|(name, der)| Hostile { name, request: request(certificate_pem(&der), None) }));
    corpus.extend(leaves().map(|(name, leaf)| Hostile { name, request: request(leaf.pem(), None) }));
    corpus.extend(under_cas().map(|(name, leaf, ca)| Hostile { name, request: request(leaf.pem(), Some(ca.pem())) }));
    corpus
}

fn request(certificate_pem: String, ca_certificate_pem: Option<String>) -> RegisterCertificate {
    RegisterCertificate { certificate_pem, ca_certificate_pem, ..RegisterCertificate::default() }
}

fn certificate_pem(der: &[u8]) -> String {
    pem::encode(pem::CERTIFICATE, der)
}

/// Text that is expensive for the PEM scanner.
fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    let around = |body: &str| format!("{begin}\n{body}{end}\n");
    [
        ("nothing", String::new()),
        ("only dashes", "-".repeat(65_536)),
        ("base64 that is text from each of its digits on", "V".repeat(8_192)),
        ("hexadecimal digits of base64", "56".repeat(4_096)),
        ("text with escapes", "%56\\u0056".repeat(910)),
        ("beginnings of keys", "MIIDAgEAMAYG".repeat(682)),
        ("sections that never end", begin.repeat(2_427)),
        ("sections that never begin", end.repeat(2_621)),
        ("labels that never end", "-----BEGIN A".repeat(5_461)),
        ("a label of the whole text", format!("-----BEGIN {}-----", "A".repeat(65_520))),
        ("empty sections", around("").repeat(1_213)),
        ("sections of one letter", "-----BEGIN A-----\nQQ\n-----END A-----\n".repeat(1_724)),
        ("a body of line ends", around(&"\n".repeat(65_482))),
        ("a body with one bad digit at its end", around(&("A".repeat(65_470) + "*\n"))),
        ("a leaf and a long chain", CertificateParts::default().pem() + &CertificateParts::ca().pem().repeat(150)),
        ("far too long", "private key \n".repeat(80_000)),
        ("characters of four bytes", "\u{1f511}".repeat(65_536)),
    ]
    .into_iter()
}

/// Bytes that are expensive for a DER parser.
fn ders() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    [
        ("zeros", vec![0; FILL]),
        ("a length beyond the end", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("a length of the length of 126 bytes", [&[0x30, 0xfe][..], &[0xff; 126]].concat()),
        ("a tag number without end", [&[0x3f][..], &vec![0xff; FILL]].concat()),
        ("sequences of indefinite length", [0x30, 0x80].repeat(FILL / 2)),
        ("sequences in sequences", nested(2_000)),
    ]
    .into_iter()
}

/// Certificates with one field that is expensive to parse.
fn leaves() -> impl Iterator<Item = (&'static str, CertificateParts)> {
    let parts = CertificateParts::default;
    let long_oid = |n_bytes| tlv(0x06, &[&[0x2a][..], &vec![0xff; n_bytes], &[0x01]].concat());
    let extended = |extension: Vec<u8>| CertificateParts { extensions: vec![extension], ..parts() };
    [
        ("a long serial number", CertificateParts { serial: tlv(0x02, &vec![0x7f; FILL]), ..parts() }),
        ("a serial number of nested values", CertificateParts { serial: [0x30, 0x80].repeat(20_000), ..parts() }),
        ("a long signature algorithm", CertificateParts { algorithm: sequence(&[&long_oid(FILL / 2)]), ..parts() }),
        ("a long key algorithm", CertificateParts { key: spki(&long_oid(FILL), &[0; 65]), ..parts() }),
        ("a long curve", CertificateParts { key: spki(&[EC, &long_oid(FILL)].concat(), &[0; 65]), ..parts() }),
        ("an RSA key of 32,000 bits", CertificateParts { key: rsa(4_000, &EXPONENT), ..parts() }),
        ("an RSA key of 370,000 bits", CertificateParts { key: rsa(46_250, &EXPONENT), ..parts() }),
        (
            "a modulus of zeros",
            CertificateParts { key: spki(RSA, &sequence(&[&tlv(0x02, &vec![0; FILL]), &EXPONENT])), ..parts() },
        ),
        ("thousands of names in the subject", CertificateParts { subject: name(b"x", 3_600), ..parts() }),
        (
            "thousands of names in one",
            CertificateParts { subject: sequence(&[&tlv(0x31, &attribute(b"x").repeat(4_200))]), ..parts() },
        ),
        ("a long name of control characters", CertificateParts { subject: name(&vec![0x1b; FILL], 1), ..parts() }),
        (
            "dates of the year zero, far east",
            CertificateParts { validity: validity(b"00000101000000+1400"), ..parts() },
        ),
        ("10,000 alternative names", extended(extension(0x11, &tlv(0x30, &[0x82, 0x02, b'a', b'a'].repeat(10_000))))),
        ("thousands of extensions", CertificateParts { extensions: vec![extension(0x63, &[]); 4_000], ..parts() }),
        (
            "thousands of basic constraints",
            CertificateParts { extensions: vec![basic_constraints(&[]); 4_000], ..parts() },
        ),
        ("basic constraints of nothings", extended(basic_constraints(&[0x05, 0x00].repeat(2_040)))),
        ("nested basic constraints", extended(extension(0x13, &nested(1_000)))),
        ("a long key usage", extended(extension(0x0f, &tlv(0x03, &[0; 4_000])))),
        ("a long extended key usage", extended(extension(0x25, &tlv(0x30, &[0x06, 0x01, 0x2a].repeat(1_360))))),
        (
            "an issuer of many names by key id",
            extended(extension(0x23, &tlv(0x30, &tlv(0xa1, &[0x82, 0x00].repeat(2_000))))),
        ),
    ]
    .into_iter()
}

/// Pairs of leaf and CA that are expensive to match.
fn under_cas() -> impl Iterator<Item = (&'static str, CertificateParts, CertificateParts)> {
    let rsa_ca = |key| CertificateParts { algorithm: RSA_SHA256.to_vec(), key, ..CertificateParts::ca() };
    let rsa_leaf = |n_bytes| CertificateParts {
        algorithm: RSA_SHA256.to_vec(),
        signature: vec![0x7f; n_bytes],
        ..CertificateParts::default()
    };
    [
        (
            "a long signature",
            CertificateParts { signature: vec![0x30; FILL], ..CertificateParts::default() },
            CertificateParts::ca(),
        ),
        (
            "a CA key that is no point",
            CertificateParts::default(),
            CertificateParts { key: spki(&[EC, P256].concat(), &[4; 65]), ..CertificateParts::ca() },
        ),
        ("a CA key of 1,024 bits", rsa_leaf(128), rsa_ca(rsa(128, &EXPONENT))),
        ("a CA key of 8,192 bits", rsa_leaf(1_024), rsa_ca(rsa(1_024, &EXPONENT))),
        ("a CA key of 8,200 bits", rsa_leaf(1_025), rsa_ca(rsa(1_025, &EXPONENT))),
        ("a CA key of 370,000 bits", rsa_leaf(FILL), rsa_ca(rsa(46_250, &EXPONENT))),
        ("a CA key with a long exponent", rsa_leaf(1_024), rsa_ca(rsa(1_024, &tlv(0x02, &[0x7f; 1_024])))),
        (
            "thousands of names to compare",
            CertificateParts { issuer: name(b"x", 3_600), ..CertificateParts::default() },
            CertificateParts { subject: name(b"X", 3_600), ..CertificateParts::ca() },
        ),
    ]
    .into_iter()
}
