//! For any input, the precheck returns a verdict, and the verdict matches the input.

use std::sync::LazyLock;

use muster_core::certificate::pem;
use muster_core::certificate::{Certificate, CertificateId};
use muster_core::job::{
    RegisterCaCertificate, RegisterCertificate, RegisterCertificateWithoutCa, RegistrationConfig, Request, Tag,
};
use muster_core::precheck::{Call, CheckedCertificate, PEM_CHARS_MAX, Policy, Precheck};
use muster_sandbox::specimen::{Ca, hostile};
use proptest::prelude::*;

use super::{CODE, NOW, ca_alone, ca_job, job, job_under};

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Plant CA"));
static LEAF: LazyLock<String> = LazyLock::new(|| CA.leaf("device"));
static CA_TEXT: LazyLock<String> = LazyLock::new(|| CA.pem());
static PRECHECK: LazyLock<Precheck> = LazyLock::new(|| Precheck::new(Policy::default(), []));

/// Checks a request, and asserts what must hold for every verdict.
fn assert_consistent(request: impl Into<Request>) {
    let request = request.into();
    let verdict = PRECHECK.check(&request, NOW, Some(CODE));
    if let Some(id) = verdict.certificate_id {
        assert_eq!(verdict.subject, id.0);
        assert!(is_start_of_a_block(request.pem(), id), "{id} is not the digest of any block in the text");
    } else {
        assert_eq!(verdict.subject, CertificateId::of_der(request.pem().as_bytes()).0);
    }
    let printed = format!("{:?} {:?}", verdict.result, verdict.warnings);
    assert!(printed.len() < 4_096 && !printed.contains('\u{1b}'), "{printed}");
    let Ok(checked) = verdict.result else { return };
    assert_eq!(Some(checked.id()), verdict.certificate_id);
    for pem in sent(&checked) {
        assert_eq!(Certificate::from_pem(pem).unwrap().to_pem(), pem);
        assert!(pem.len() <= PEM_CHARS_MAX && !pem::holds_private_key(pem));
    }
}

/// Returns the certificates to be sent.
fn sent(checked: &CheckedCertificate) -> impl Iterator<Item = &str> {
    let proof = match checked.call() {
        Call::RegisterCaCertificate { request, .. } => request.verification_certificate.as_deref(),
        _ => None,
    };
    [Some(checked.pem()), checked.ca_pem(), proof].into_iter().flatten()
}

/// Returns requests of all operations that contain a text, wherever it can appear.
fn requests_with(text: &str) -> [Request; 6] {
    let text = || text.to_owned();
    let config = RegistrationConfig { template_body: Some(text()), role_arn: Some(text()), template_name: None };
    [
        RegisterCertificate { ca_certificate_pem: Some(text()), ..job(text()) }.into(),
        RegisterCertificate { ca_certificate_pem: Some(text()), ..job(LEAF.clone()) }.into(),
        RegisterCertificateWithoutCa { certificate_pem: text(), status: None }.into(),
        RegisterCaCertificate { ca_certificate: text(), ..ca_job(&CA) }.into(),
        RegisterCaCertificate { verification_certificate: Some(text()), ..ca_job(&CA) }.into(),
        RegisterCaCertificate {
            registration_config: Some(config),
            tags: vec![Tag { key: text(), value: Some(text()) }],
            ..ca_alone(CA.pem())
        }
        .into(),
    ]
}

/// Returns whether the text has a block that starts with the certificate with this id. The precheck ignores NULs in
/// texts.
fn is_start_of_a_block(text: &str, id: CertificateId) -> bool {
    pem::blocks(&pem::without_nuls(text)).filter_map(|block| block.decode().ok()).any(|der| {
        Certificate::from_der_start(&der).is_ok_and(|(certificate, n_trailing)| {
            CertificateId::of_der(&der[..der.len() - n_trailing]) == id && certificate.id() == id
        })
    })
}

/// Generates a valid certificate with some of its bytes changed, removed or duplicated.
fn mutated_der(valid: &'static LazyLock<String>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    changes.prop_map(move |changes| {
        let mut der = Certificate::from_pem(valid).unwrap().der().to_vec();
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

/// Generates a valid PEM text with pieces removed, duplicated and replaced.
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
    fn arbitrary_text_gets_a_verdict(text in any::<String>(), ca in any::<Option<String>>()) {
        assert_consistent(RegisterCertificate { ca_certificate_pem: ca, ..job(text.clone()) });
        requests_with(&text).into_iter().for_each(assert_consistent);
    }

    #[test]
    fn arbitrary_bytes_in_a_block_get_a_verdict(der in prop::collection::vec(any::<u8>(), 0..300)) {
        requests_with(&pem::encode(pem::CERTIFICATE, &der)).into_iter().for_each(assert_consistent);
    }

    #[test]
    fn a_mutated_certificate_gets_a_verdict(leaf in mutated_der(&LEAF), ca in mutated_der(&CA_TEXT)) {
        let [leaf, ca] = [leaf, ca].map(|der| pem::encode(pem::CERTIFICATE, &der));
        assert_consistent(job_under(&CA, leaf.clone()));
        requests_with(&leaf).into_iter().chain(requests_with(&ca)).for_each(assert_consistent);
    }

    #[test]
    fn a_mutated_text_gets_a_verdict(text in mutated_text()) {
        requests_with(&text).into_iter().for_each(assert_consistent);
    }
}

#[test]
fn a_text_with_nuls_gets_a_verdict() {
    for at in [0, 15, 40, LEAF.len()] {
        let mut text = LEAF.clone();
        text.insert(at, '\0');
        requests_with(&text).into_iter().for_each(assert_consistent);
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
fn hostile_requests_get_a_verdict() {
    for hostile in hostile::corpus() {
        assert_consistent(hostile.request);
    }
    for hostile in hostile::ca_corpus() {
        assert_consistent(hostile.request);
    }
}

#[test]
fn hostile_certificates_are_well_formed() {
    let devices = hostile::corpus().into_iter().map(|hostile| (hostile.name, Request::from(hostile.request)));
    let cas = hostile::ca_corpus().into_iter().map(|hostile| (hostile.name, hostile.request.into()));
    let requests: Vec<_> = devices.chain(cas).collect();
    for wanted in [
        "10,000 alternative names",
        "thousands of extensions",
        "an RSA key of 370,000 bits",
        "a leaf and a long chain",
        "a CA many times over",
        "a chain of many names",
        "a tag of a megabyte",
    ] {
        let (_, request) = requests.iter().find(|(name, _)| *name == wanted).expect(wanted);
        let is_read = PRECHECK.check(request, NOW, None).certificate_id.is_some();
        assert!(is_read, "{wanted}: the certificate is well-formed");
    }
}
