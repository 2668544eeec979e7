//! Certificates in an unusual form: whatever can be identified with certainty is sent with a warning.

use muster_core::certificate::{Certificate, Issuer, pem};
use muster_core::job::RegisterCertificate;
use muster_core::precheck::{Policy, Precheck, Warning};
use muster_sandbox::specimen::Ca;

use super::{NOW, registers, verdict};

/// Splits DER into its elements.
fn elements(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let (header, length) = match der[1] {
            0x81 => (3, usize::from(der[2])),
            0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
            short => (2, usize::from(short)),
        };
        elements.push(der[..header + length].to_vec());
        der = &der[header + length..];
    }
    elements
}

fn content(element: &[u8]) -> &[u8] {
    match element[1] {
        0x81 => &element[3..],
        0x82 => &element[4..],
        _ => &element[2..],
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match u16::try_from(content.len()).unwrap() {
        short @ 0..0x80 => vec![u8::try_from(short).unwrap()],
        long => [&[0x82][..], &long.to_be_bytes()].concat(),
    };
    [&[tag][..], &length, content].concat()
}

const SERIAL: usize = 1;
const INNER_ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const KEY: usize = 6;

/// Creates a device certificate with one part replaced, so that its signature no longer matches.
fn with_part(part: usize, value: &[u8]) -> String {
    rebuilt(|signed| signed[part] = value.to_vec(), |_| {})
}

fn rebuilt(change_signed: impl Fn(&mut Vec<Vec<u8>>), change_outer: impl Fn(&mut Vec<Vec<u8>>)) -> String {
    let leaf = Certificate::from_pem(&Ca::new("Plant CA").leaf("device")).unwrap();
    let mut outer = elements(content(leaf.der()));
    let mut signed = elements(content(&outer[0]));
    change_signed(&mut signed);
    outer[0] = tlv(0x30, &signed.concat());
    change_outer(&mut outer);
    pem::encode(pem::CERTIFICATE, &tlv(0x30, &outer.concat()))
}

/// Certificates that are accepted in spite of their form, by the code of the warning.
pub(crate) fn odd_forms() -> [(&'static str, String); 3] {
    let with_null = |algorithm: &[u8]| tlv(0x30, &[content(algorithm), &[5, 0]].concat());
    let validity = [tlv(0x17, b"250101000000Z"), tlv(0x18, b"20991231235959+0100")].concat();
    [
        ("unusual_date", with_part(VALIDITY, &tlv(0x30, &validity))),
        ("algorithms_differ_in_null", rebuilt(|_| {}, |outer| outer[1] = with_null(&outer[1]))),
        ("explicit_curve", with_part(KEY, &explicit_key(32))),
    ]
}

/// Creates a key on an explicitly encoded curve over a field of `n_bytes` bytes.
fn explicit_key(n_bytes: usize) -> Vec<u8> {
    let oid = |bytes: &[u8]| tlv(0x06, bytes);
    let prime = tlv(0x02, &[&[0][..], &vec![0xff; n_bytes]].concat());
    let field = tlv(0x30, &[oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x01, 0x01]), prime].concat());
    let parameters = tlv(0x30, &[tlv(0x02, &[1]), field, vec![0x04; 60]].concat());
    let algorithm = tlv(0x30, &[oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), parameters].concat());
    tlv(0x30, &[algorithm, tlv(0x03, &[0; 66])].concat())
}

fn warnings(text: &str) -> Vec<&'static str> {
    let verdict = verdict(text);
    assert!(verdict.result.is_ok(), "{:?}", verdict.result);
    verdict.warnings.iter().map(Warning::code).filter(|&code| code != "issuer_unknown").collect()
}

#[test]
fn dates_in_every_form_are_read() {
    let validity =
        |before: (u8, &[u8]), after: (u8, &[u8])| tlv(0x30, &[tlv(before.0, before.1), tlv(after.0, after.1)].concat());
    for (after, is_usual) in [
        ((0x17, &b"491231235959Z"[..]), true),
        ((0x18, b"20991231235959Z"), true),
        ((0x18, b"20991231235959+0100"), false),
        ((0x18, b"20991231235959-0530"), false),
        ((0x18, b"20991231235959.5Z"), false),
        ((0x18, b"209912312359Z"), false),
        ((0x17, b"4912312359Z"), false),
        ((0x17, b"491231235959+0100"), false),
    ] {
        let text = with_part(VALIDITY, &validity((0x17, b"250101000000Z"), after));
        let expected: &[&str] = if is_usual { &[] } else { &["unusual_date"] };
        assert_eq!(warnings(&text), expected, "{}", String::from_utf8_lossy(after.1));
    }
    // The offset counts: by its local time it expired an hour ago, but by UTC it is valid.
    let text = with_part(VALIDITY, &validity((0x17, b"250101000000Z"), (0x18, b"20261121113000-0100")));
    assert_eq!(warnings(&text), ["unusual_date"]);
    let text = with_part(VALIDITY, &validity((0x17, b"250101000000Z"), (0x18, b"20261121123000+0100")));
    assert!(registers(&text).unwrap_err().starts_with("expired"));
    let text = with_part(VALIDITY, &validity((0x17, b"250101000000Z"), (0x18, b"20261332000000Z")));
    let reason = registers(&text).unwrap_err();
    assert!(reason.contains("`20261332000000Z`, which is not a date"), "{reason}");
}

#[test]
fn algorithms_that_differ_only_in_null_are_accepted() {
    let with_null = |algorithm: &[u8]| tlv(0x30, &[content(algorithm), &[5, 0]].concat());
    let outer = rebuilt(|_| {}, |outer| outer[1] = with_null(&outer[1]));
    let inner = rebuilt(|signed| signed[INNER_ALGORITHM] = with_null(&signed[INNER_ALGORITHM]), |_| {});
    for text in [outer, inner] {
        assert_eq!(warnings(&text), ["algorithms_differ_in_null"]);
    }
    let other = rebuilt(|_| {}, |outer| *outer[1].last_mut().unwrap() = 3);
    let reason = registers(&other).unwrap_err();
    assert!(reason.contains("ecdsa-with-SHA256") && reason.contains("ecdsa-with-SHA384"), "{reason}");
}

#[test]
fn a_serial_number_of_the_wrong_type_is_rejected() {
    // x509-parser accepts this as an INTEGER; hardly any other parser does.
    let reason = registers(&with_part(SERIAL, &[0x82, 0x01, 0x07])).unwrap_err();
    assert!(reason.contains("its serial number has the wrong type (ASN.1 tag 0x82)"), "{reason}");
    assert!(registers(&with_part(SERIAL, &[0x02, 0x01, 0x07])).is_ok());
    assert!(registers(&with_part(SERIAL, &[0x02, 0x00])).unwrap_err().contains("its serial number is damaged"));
}

/// Creates a name with one common name, encoded as the given string type.
fn name(tag: u8, value: &[u8]) -> Vec<u8> {
    let attribute = [&[0x06, 0x03, 0x55, 0x04, 0x03][..], &tlv(tag, value)].concat();
    tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
}

#[test]
fn a_ca_is_found_by_its_name_in_any_string_type() {
    let ca = Ca::new("Prüfer CA");
    let bmp: Vec<u8> = "Prüfer CA".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for issuer in [
        name(0x14, b"Pr\xfcfer CA"),
        name(0x1e, &bmp),
        name(0x13, b"Pr\xfcfer CA"),
        name(0x0c, "PRÜFER  CA".as_bytes()),
    ] {
        let text = with_part(ISSUER, &issuer);
        let request = RegisterCertificate {
            certificate_pem: text,
            ca_certificate_pem: Some(ca.pem()),
            ..RegisterCertificate::default()
        };
        let verdict = Precheck::new(Policy::default(), []).check(&request.into(), NOW, None);
        // The signature is not this CA's. The name was recognized as the issuer's, so only the signature is wrong.
        let code = verdict.result.unwrap_err().code().as_str();
        assert_eq!(code, "signature_invalid", "{issuer:02x?}");
        let known = Issuer::new(ca.certificate().clone()).unwrap();
        let request =
            RegisterCertificate { certificate_pem: with_part(ISSUER, &issuer), ..RegisterCertificate::default() };
        let verdict = Precheck::new(Policy::default(), [known]).check(&request.into(), NOW, None);
        assert!(!verdict.warnings.is_empty() && verdict.result.is_ok(), "another key id: AWS may know its CA");
    }
}

#[test]
fn explicit_curves_are_named_in_words() {
    assert_eq!(warnings(&with_part(KEY, &explicit_key(32))), ["explicit_curve"]);
    let reason = registers(&with_part(KEY, &explicit_key(24))).unwrap_err();
    assert!(reason.contains("the key is EC with explicit parameters (192 bits)"), "{reason}");
}

#[test]
fn every_damaged_byte_is_explained_in_plain_words() {
    let leaf = Certificate::from_pem(&Ca::new("Plant CA").leaf("device")).unwrap();
    let words = ["nom", "Tag(", "Eof", "Invalid", "Unexpected", "Some(", "None", "Error"];
    for at in 0..leaf.der().len() {
        for byte in [0x00, 0xff, leaf.der()[at] ^ 0x20] {
            let mut der = leaf.der().to_vec();
            der[at] = byte;
            let Err(reason) = registers(&pem::encode(pem::CERTIFICATE, &der)) else { continue };
            assert!(words.iter().all(|word| !reason.contains(word)), "byte {at}: {reason}");
        }
    }
}
