//! Damaged and unknown PEM markers: each is an input, read if it is unambiguous, and otherwise rejected with its line.

use muster_core::certificate::{Certificate, pem};
use muster_sandbox::specimen::{Ca, Flaw};

use super::{Planned, id, ids, registers};

/// A change of one block.
type Change = (&'static str, fn(&str) -> String);

/// Damage that leaves no doubt about the certificate.
const READABLE: [Change; 24] = [
    ("four dashes before BEGIN", |pem| pem.replace("-----BEGIN", "----BEGIN")),
    ("one dash before BEGIN", |pem| pem.replace("-----BEGIN", "-BEGIN")),
    ("six dashes before BEGIN", |pem| pem.replace("-----BEGIN", "------BEGIN")),
    ("three dashes behind BEGIN's label", |pem| pem.replacen("CERTIFICATE-----", "CERTIFICATE---", 1)),
    ("four dashes everywhere", |pem| pem.replace("-----", "----")),
    ("en dashes", |pem| pem.replace("-----", "–––––")),
    ("one em dash", |pem| pem.replace("-----", "—")),
    ("minus signs", |pem| pem.replace('-', "\u{2212}")),
    ("dashes that were decoded wrongly", |pem| pem.replace("-----", "\u{fffd}")),
    ("small letters", |pem| {
        pem.replace("BEGIN CERTIFICATE", "begin certificate").replace("END CERTIFICATE", "end certificate")
    }),
    ("capitalised words", |pem| pem.replace("BEGIN CERTIFICATE", "Begin Certificate")),
    ("two spaces in BEGIN", |pem| pem.replace("BEGIN CERT", "BEGIN  CERT")),
    ("no space in BEGIN", |pem| pem.replace("BEGIN CERT", "BEGINCERT")),
    ("a space between dashes and BEGIN", |pem| pem.replace("-----BEGIN", "----- BEGIN")),
    ("BEGIN missing", |pem| pem.replace("-----BEGIN CERTIFICATE-----\n", "")),
    ("END missing", |pem| pem.replace("-----END CERTIFICATE-----\n", "")),
    ("BEGIN and END missing", |pem| {
        pem.replace("-----BEGIN CERTIFICATE-----\n", "").replace("-----END CERTIFICATE-----\n", "")
    }),
    ("only words", |pem| pem.replace('-', "")),
    ("stars instead of dashes", |pem| pem.replace('-', "*")),
    ("X.509 CERTIFICATE", |pem| pem.replace("CERTIFICATE", "X.509 CERTIFICATE")),
    ("X509 CERTIFICATE", |pem| pem.replace("CERTIFICATE", "X509 CERTIFICATE")),
    ("TRUSTED CERTIFICATE without a trailer", |pem| pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
    ("an unknown label", |pem| pem.replace("CERTIFICATE", "DEVICE IDENTITY")),
    ("labels that differ", |pem| pem.replace("END CERTIFICATE", "END X509 CRL")),
];

/// Damage that makes a certificate unreadable, and other things sent instead of a certificate.
fn unreadable() -> Vec<(&'static str, String)> {
    let ca = Ca::new("Plant CA");
    let leaf = ca.leaf("device");
    let der = Certificate::from_pem(&leaf).unwrap().der().to_vec();
    let lines: Vec<&str> = leaf.lines().collect();
    vec![
        ("a character changed", leaf.replace("MII", "M*I")),
        ("base64 that is no DER", leaf.replace("MII", "III")),
        ("cut in the middle", format!("{}\n", &leaf[..leaf.len() / 2])),
        ("a line lost", leaf.replace(&format!("{}\n", lines[3]), "")),
        ("the first line and BEGIN lost", lines[2..].join("\n") + "\n"),
        ("DER cut off", pem::encode(pem::CERTIFICATE, &der[..der.len() - 30])),
        ("PKCS7", leaf.replace("CERTIFICATE", "PKCS7").replace("MII", "III")),
        ("PKCS #7 SIGNED DATA", leaf.replace("CERTIFICATE", "PKCS #7 SIGNED DATA").replace("MII", "III")),
        ("CMS", leaf.replace("CERTIFICATE", "CMS").replace("MII", "III")),
        ("a signing request", ca.flawed(Flaw::Request, "device")),
        ("a signing request as a certificate", ca.flawed(Flaw::Request, "device").replace(" REQUEST", "")),
        ("hexadecimal", hex::encode(&der) + "\n"),
        ("an empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned()),
        ("markers in small letters, and damaged", leaf.to_lowercase()),
        ("a lone END", "-----END CERTIFICATE-----\n".to_owned()),
        ("a lone BEGIN", "-----BEGIN CERTIFICATE-----\n".to_owned()),
        ("base64 twice", pem::encode(pem::CERTIFICATE, leaf.as_bytes())),
    ]
}

#[test]
fn a_block_with_damaged_markers_is_read_in_any_position() {
    let ca = Ca::new("Plant CA");
    let [one, damaged, other] = ["one", "damaged", "other"].map(|name| ca.leaf(name));
    for (what, change) in READABLE {
        let changed = change(&damaged);
        assert_eq!(registers(&changed), Ok(id(&damaged)), "{what}: alone, in the worker");
        for text in [
            [changed.as_str(), &one, &other].concat(),
            [one.as_str(), &changed, &other].concat(),
            [one.as_str(), &other, &changed].concat(),
        ] {
            let planned = Planned::of(&[("bundle.pem", text.clone().into_bytes())]);
            assert_eq!(planned.ids(), ids(&[&one, &damaged, &other]), "{what}: {:?}\n{text}", planned.codes());
            assert_eq!((planned.tally.found, planned.rejects.len()), (3, 0), "{what}");
        }
    }
}

#[test]
fn an_unreadable_block_is_rejected_with_its_line() {
    let ca = Ca::new("Plant CA");
    let [one, other] = ["one", "other"].map(|name| ca.leaf(name));
    for (what, damaged) in unreadable() {
        assert!(registers(&damaged).is_err(), "{what}");
        let n_lines = |text: &str| text.lines().count() as u64;
        for (text, line) in [
            ([damaged.as_str(), &one, &other].concat(), 1),
            ([one.as_str(), &damaged, &other].concat(), 1 + n_lines(&one)),
            ([one.as_str(), &other, &damaged].concat(), 1 + n_lines(&one) + n_lines(&other)),
        ] {
            let planned = Planned::of(&[("bundle.pem", text.clone().into_bytes())]);
            assert_eq!(planned.ids(), ids(&[&one, &other]), "{what}\n{text}");
            assert_eq!(
                planned.rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(),
                [Some(line)],
                "{what}\n{text}"
            );
        }
    }
}

/// Parser terms that operators do not know.
const PARSER_TERMS: [&str; 12] =
    ["nom", "BER", "DER ", "Tag(", "Eof", "Invalid", "Unexpected", "None", "Some(", "Err", "asn1", "ASN.1 error"];

#[test]
fn reasons_contain_no_parser_terms() {
    for (what, damaged) in unreadable() {
        let planned = Planned::of(&[("a.pem", damaged.into_bytes())]);
        let reason = &planned.rejects[0].reason;
        assert!(reason.len() > 20 && PARSER_TERMS.iter().all(|word| !reason.contains(word)), "{what}: {reason}");
        assert!(!reason.contains("certificatePem"), "{what}: {reason}");
    }
}

#[test]
fn a_reason_names_what_was_sent_instead() {
    let container = include_bytes!("../../data/container.p7b");
    let request = Ca::new("Plant CA").flawed(Flaw::Request, "device");
    for (what, content, expected, hint) in [
        ("PKCS#7", pem::encode("PKCS7", container).into_bytes(), "a PKCS#7 container", "openssl pkcs7"),
        (
            "PKCS#7 in the wrong label",
            pem::encode(pem::CERTIFICATE, container).into_bytes(),
            "a PKCS#7 container",
            "openssl pkcs7",
        ),
        ("PKCS#7 in DER", container.to_vec(), "a PKCS#7 container", "openssl pkcs7"),
        ("a request", request.into_bytes(), "a certificate signing request", "have the CA sign"),
    ] {
        let planned = Planned::of(&[("a.pem", content)]);
        let reject = &planned.rejects[0];
        assert!(reject.reason.contains(expected), "{what}: {}", reject.reason);
        assert!(reject.hint.is_some_and(|found| found.contains(hint)), "{what}: {:?}", reject.hint);
    }
}

#[test]
fn text_around_the_blocks_is_ignored() {
    let leaf = Ca::new("Plant CA").leaf("device");
    let der = Certificate::from_pem(&leaf).unwrap().der().to_vec();
    let around = [
        "Bag Attributes\n    friendlyName: device\n    localKeyID: 54 69 6D 65 20\nKey Attributes: <No Attributes>\n".to_owned(),
        "subject=C = DE, O = Plant, CN = device 7\n\nissuer=C = DE, O = Plant, CN = Plant CA\n\n---\nServer certificate\n".to_owned(),
        format!("sha256 Fingerprint={}\n", hex::encode_upper(&der[..32])),
        format!("{}\n{}\n", hex::encode(&der[32..64]), hex::encode(&der[64..96])),
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0123456789\n-----END PUBLIC KEY-----\n".to_owned(),
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n".to_owned(),
        "# begin of the certificates of line 7 - the end is below\n".to_owned(),
    ];
    for text in around {
        for text in [text.clone() + &leaf, leaf.clone() + &text] {
            let planned = Planned::of(&[("a.pem", text.clone().into_bytes())]);
            assert_eq!(
                (planned.ids(), planned.tally.found),
                (ids(&[&leaf]), 1),
                "{text}\n{:?}",
                planned.rejects.first().map(|r| &r.reason)
            );
            assert_eq!(registers(&text), Ok(id(&leaf)), "{text}");
        }
    }
}
