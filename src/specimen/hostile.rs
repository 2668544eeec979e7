//! Requests that try to make a check slow or to break it: the corpus of the cost test and the seed of fuzzing.
//!
//! Each is at the bound of 65,536 characters, or as near as its idea allows. Built from bytes by hand, as no library
//! makes such things. It depends on nothing but the job and the PEM writer, and is the same in every run.

use crate::certificate::pem;
use crate::job::RegisterCertificate;

/// One hostile request.
pub struct Hostile {
    /// What it tries, in a few words.
    pub name: &'static str,
    /// The request.
    pub request: RegisterCertificate,
}

/// Bytes that fill a certificate up to the bound of its PEM text.
const FILL: usize = 47_000;

/// Makes the whole corpus.
pub fn corpus() -> Vec<Hostile> {
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

/// Text that is hard on the PEM scanner.
fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    let around = |body: &str| format!("{begin}\n{body}{end}\n");
    let ca = Parts { extensions: vec![basic_constraints(&CA_TRUE)], ..Parts::default() };
    [
        ("nothing", String::new()),
        ("only dashes", "-".repeat(65_536)),
        ("sections that never end", begin.repeat(2_427)),
        ("sections that never begin", end.repeat(2_621)),
        ("labels that never end", "-----BEGIN A".repeat(5_461)),
        ("a label of the whole text", format!("-----BEGIN {}-----", "A".repeat(65_520))),
        ("empty sections", around("").repeat(1_213)),
        ("sections of one letter", "-----BEGIN A-----\nQQ\n-----END A-----\n".repeat(1_724)),
        ("a body of line ends", around(&"\n".repeat(65_482))),
        ("a body with one bad digit at its end", around(&("A".repeat(65_470) + "*\n"))),
        ("a leaf and a long chain", Parts::default().pem() + &ca.pem().repeat(150)),
        ("far too long", "private key \n".repeat(80_000)),
        ("characters of four bytes", "\u{1f511}".repeat(65_536)),
    ]
    .into_iter()
}

/// Bytes that are hard on a DER parser.
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

/// Certificates that are hard on whatever reads one of their fields.
fn leaves() -> impl Iterator<Item = (&'static str, Parts)> {
    let parts = Parts::default;
    let long_oid = |n_bytes| tlv(0x06, &[&[0x2a][..], &vec![0xff; n_bytes], &[0x01]].concat());
    let extended = |extension: Vec<u8>| Parts { extensions: vec![extension], ..parts() };
    [
        ("a long serial number", Parts { serial: tlv(0x02, &vec![0x7f; FILL]), ..parts() }),
        ("a serial number of nested values", Parts { serial: [0x30, 0x80].repeat(20_000), ..parts() }),
        ("a long signature algorithm", Parts { algorithm: sequence(&[&long_oid(FILL / 2)]), ..parts() }),
        ("a long key algorithm", Parts { key: spki(&long_oid(FILL), &[0; 65]), ..parts() }),
        ("a long curve", Parts { key: spki(&[EC, &long_oid(FILL)].concat(), &[0; 65]), ..parts() }),
        ("an RSA key of 32,000 bits", Parts { key: rsa(4_000, &EXPONENT), ..parts() }),
        ("an RSA key of 370,000 bits", Parts { key: rsa(46_250, &EXPONENT), ..parts() }),
        (
            "a modulus of zeros",
            Parts { key: spki(RSA, &sequence(&[&tlv(0x02, &vec![0; FILL]), &EXPONENT])), ..parts() },
        ),
        ("thousands of names in the subject", Parts { subject: name(b"x", 3_600), ..parts() }),
        (
            "thousands of names in one",
            Parts { subject: sequence(&[&tlv(0x31, &attribute(b"x").repeat(4_200))]), ..parts() },
        ),
        ("a long name of control characters", Parts { subject: name(&vec![0x1b; FILL], 1), ..parts() }),
        ("dates of the year zero, far east", Parts { validity: validity(b"00000101000000+1400"), ..parts() }),
        ("10,000 alternative names", extended(extension(0x11, &tlv(0x30, &[0x82, 0x02, b'a', b'a'].repeat(10_000))))),
        ("thousands of extensions", Parts { extensions: vec![extension(0x63, &[]); 4_000], ..parts() }),
        ("thousands of basic constraints", Parts { extensions: vec![basic_constraints(&[]); 4_000], ..parts() }),
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

/// Leaves and CAs that are hard to bring together.
fn under_cas() -> impl Iterator<Item = (&'static str, Parts, Parts)> {
    let ca = || Parts { extensions: vec![basic_constraints(&CA_TRUE)], ..Parts::default() };
    let rsa_ca = |key| Parts { algorithm: RSA_SHA256.to_vec(), key, ..ca() };
    let rsa_leaf =
        |n_bytes| Parts { algorithm: RSA_SHA256.to_vec(), signature: vec![0x7f; n_bytes], ..Parts::default() };
    [
        ("a long signature", Parts { signature: vec![0x30; FILL], ..Parts::default() }, ca()),
        ("a CA key that is no point", Parts::default(), Parts { key: spki(&[EC, P256].concat(), &[4; 65]), ..ca() }),
        ("a CA key of 1,024 bits", rsa_leaf(128), rsa_ca(rsa(128, &EXPONENT))),
        ("a CA key of 8,192 bits", rsa_leaf(1_024), rsa_ca(rsa(1_024, &EXPONENT))),
        ("a CA key of 8,200 bits", rsa_leaf(1_025), rsa_ca(rsa(1_025, &EXPONENT))),
        ("a CA key of 370,000 bits", rsa_leaf(FILL), rsa_ca(rsa(46_250, &EXPONENT))),
        ("a CA key with a long exponent", rsa_leaf(1_024), rsa_ca(rsa(1_024, &tlv(0x02, &[0x7f; 1_024])))),
        (
            "thousands of names to compare",
            Parts { issuer: name(b"x", 3_600), ..Parts::default() },
            Parts { subject: name(b"X", 3_600), ..ca() },
        ),
    ]
    .into_iter()
}

/// A certificate taken to pieces, each in DER. The default is well-formed, and its signature is worthless.
#[derive(Clone)]
struct Parts {
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    validity: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

impl Default for Parts {
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

impl Parts {
    fn pem(&self) -> String {
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
        certificate_pem(&sequence(&[&signed, &self.algorithm, &signature]))
    }
}

const CA_TRUE: [u8; 3] = [0x01, 0x01, 0xff];
const EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// The generator of P-256 (SEC 2, 2.4.2), compressed: a point whose other coordinate must be computed.
const GENERATOR: [u8; 33] = [
    0x03, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
];

/// Writes tag, length and value, with the length in the shortest form as DER wants it.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
    let length = match content.len() {
        0 => vec![0],
        0x01..0x80 => digits,
        _ => [&[0x80 | u8::try_from(digits.len()).expect("a length has up to eight bytes")], &digits[..]].concat(),
    };
    [&[tag][..], &length, content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn nested(n_levels: usize) -> Vec<u8> {
    (0..n_levels).fold(Vec::new(), |inner, _| tlv(0x30, &inner))
}

fn attribute(common_name: &[u8]) -> Vec<u8> {
    sequence(&[&[0x06, 0x03, 0x55, 0x04, 0x03], &tlv(0x0c, common_name)])
}

fn name(common_name: &[u8], n_times: usize) -> Vec<u8> {
    tlv(0x30, &tlv(0x31, &attribute(common_name)).repeat(n_times))
}

fn validity(not_after: &[u8]) -> Vec<u8> {
    sequence(&[&tlv(0x17, b"200101000000Z"), &tlv(0x18, not_after)])
}

fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[algorithm]), &tlv(0x03, &[&[0][..], key].concat())])
}

fn rsa(n_bytes: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = tlv(0x02, &[&[0][..], &vec![0xff; n_bytes]].concat());
    spki(RSA, &sequence(&[&modulus, exponent]))
}

/// An extension below id-ce (2.5.29).
fn extension(arc: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[&[0x06, 0x03, 0x55, 0x1d, arc], &tlv(0x04, value)])
}

fn basic_constraints(content: &[u8]) -> Vec<u8> {
    extension(0x13, &tlv(0x30, content))
}
