//! Whatever the input is, the precheck answers and its answer is true to the input.

use std::sync::LazyLock;

use muster::certificate::pem::{self, Section};
use muster::certificate::{Certificate, CertificateId};
use muster::job::RegisterCertificate;
use muster::precheck::{PEM_CHARS_MAX, Policy, Precheck};
use muster::specimen::{Ca, hostile};
use proptest::prelude::*;

use super::{NOW, job, job_under};

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Plant CA"));
static LEAF: LazyLock<String> = LazyLock::new(|| CA.leaf("device"));
static PRECHECK: LazyLock<Precheck> = LazyLock::new(|| Precheck::new(Policy::default(), []));

/// Checks a request and what must hold for every answer.
fn answer(request: &RegisterCertificate) {
    let verdict = PRECHECK.check(&request.clone().into(), NOW, None);
    if let Some(id) = verdict.certificate_id {
        assert_eq!(verdict.subject, id.0);
        assert!(is_start_of_a_block(&request.certificate_pem, id), "{id} is the digest of nothing in the text");
    } else {
        assert_eq!(verdict.subject, CertificateId::of_der(request.certificate_pem.as_bytes()).0);
    }
    let printed = format!("{:?} {:?}", verdict.result, verdict.warnings);
    assert!(printed.len() < 4_096 && !printed.contains('\u{1b}'), "{printed}");
    let Ok(checked) = verdict.result else { return };
    assert_eq!(Some(checked.id()), verdict.certificate_id);
    assert_eq!(Certificate::from_pem(checked.pem()).unwrap().to_pem(), checked.pem());
    assert!(checked.pem().len() <= PEM_CHARS_MAX && !pem::holds_private_key(checked.pem()));
}

fn is_start_of_a_block(text: &str, id: CertificateId) -> bool {
    pem::sections(text).filter(Section::is_certificate).filter_map(|block| block.decode().ok()).any(|der| {
        Certificate::from_der_start(&der).is_ok_and(|(certificate, n_trailing)| {
            CertificateId::of_der(&der[..der.len() - n_trailing]) == id && certificate.id() == id
        })
    })
}

/// A good leaf with some of its bytes changed, cut out or doubled.
fn mutated_der() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    changes.prop_map(|changes| {
        let mut der = Certificate::from_pem(&LEAF).unwrap().der().to_vec();
        for (at, byte, how) in changes {
            let at = at.index(der.len());
            match how {
                0 => der[at] = byte,
                1 => der.insert(at, byte),
                _ => drop(der.remove(at)),
            }
        }
        der
    })
}

/// A good PEM text with pieces cut, doubled and replaced.
fn mutated_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        Just("-----".into()),
        Just("\r\n".into()),
        Just(LEAF.clone())
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, piece), 0..5);
    changes.prop_map(|changes| {
        let mut chars: Vec<char> = LEAF.chars().collect();
        for (at, n_cut, piece) in changes {
            let at = at.index(chars.len());
            let end = chars.len().min(at + n_cut);
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn arbitrary_text_is_answered(text in any::<String>(), ca in any::<Option<String>>()) {
        answer(&RegisterCertificate { ca_certificate_pem: ca, ..job(text) });
    }

    #[test]
    fn arbitrary_bytes_in_a_block_are_answered(der in prop::collection::vec(any::<u8>(), 0..300)) {
        answer(&job(pem::encode(pem::CERTIFICATE, &der)));
    }

    #[test]
    fn a_mutated_certificate_is_answered(der in mutated_der()) {
        let text = pem::encode(pem::CERTIFICATE, &der);
        answer(&RegisterCertificate { ca_certificate_pem: Some(CA.pem()), ..job(text.clone()) });
        answer(&RegisterCertificate { ca_certificate_pem: Some(text), ..job(LEAF.clone()) });
    }

    #[test]
    fn a_mutated_text_is_answered(text in mutated_text()) {
        answer(&RegisterCertificate { ca_certificate_pem: Some(text.clone()), ..job(text) });
    }
}

#[test]
fn no_flipped_bit_of_a_certificate_passes() {
    let der = Certificate::from_pem(&LEAF).unwrap().der().to_vec();
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let text = pem::encode(pem::CERTIFICATE, &flipped);
        let verdict = PRECHECK.check(&job_under(&CA, text).into(), NOW, None);
        assert!(verdict.result.is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn hostile_requests_are_answered() {
    for hostile in hostile::corpus() {
        answer(&hostile.request);
    }
}

#[test]
fn hostile_requests_reach_what_they_aim_at() {
    let read = |name: &str| {
        let hostile = hostile::corpus().into_iter().find(|hostile| hostile.name == name).expect(name);
        PRECHECK.check(&hostile.request.into(), NOW, None).certificate_id.is_some()
    };
    for name in
        ["10,000 alternative names", "thousands of extensions", "an RSA key of 370,000 bits", "a leaf and a long chain"]
    {
        assert!(read(name), "{name}: the certificate is well-formed");
    }
}
