//! Oddities that no AWS documentation forbids cause a warning and are accepted.

use std::collections::BTreeSet;

use muster_core::certificate::{Certificate, Issuer, pem};
use muster_core::job::RegisterCertificate;
use muster_core::precheck::{Policy, Precheck, Warning};
use muster_sandbox::specimen::{Ca, KeyKind, hostile};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use strum::VariantNames;

use crate::intake::unusual::odd_forms;

use super::{NOW, authority, check, check_ca, check_knowing, job, job_under, parameters, proof, warnings};

/// Creates a self-signed device certificate with the given key usages.
fn self_signed(usages: &[KeyUsagePurpose], extended: &[ExtendedKeyUsagePurpose]) -> String {
    let mut params = CertificateParams::default();
    params.key_usages = usages.to_vec();
    params.extended_key_usages = extended.to_vec();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// Changes the version of a certificate, which breaks its signature.
pub(super) fn with_version(leaf: &str, version: u8) -> String {
    let mut der = Certificate::from_pem(leaf).unwrap().der().to_vec();
    let at = der.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap();
    der[at + 4] = version - 1;
    pem::encode(pem::CERTIFICATE, &der)
}

/// Returns a job from `tests/data/signatures.pem` whose signature cannot be verified here.
fn unverifiable_job() -> RegisterCertificate {
    let mut blocks = super::signatures::certificates();
    let leaf = blocks.iter().position(|c| c.subject() == "CN=dsa_with_SHA256").unwrap();
    let ca = blocks.iter().position(|c| c.subject() == "CN=CA DSA").unwrap();
    let ca_certificate_pem = Some(blocks[ca].to_pem());
    RegisterCertificate { ca_certificate_pem, ..job(blocks.swap_remove(leaf).to_pem()) }
}

#[test]
fn every_warning_has_its_cause() {
    let ca = Ca::new("Plant CA");
    let old = Ca::expired("Old CA");
    let leaf = ca.leaf("device");
    let several_cas = Some(ca.pem() + &old.pem());
    let cases = [
        (vec!["not_yet_valid"], check(&job_under(&ca, ca.not_yet_valid_leaf("device")))),
        (vec!["several_certificates"], check(&job_under(&ca, leaf.clone() + &ca.pem() + &old.pem()))),
        (
            vec!["several_ca_certificates"],
            check(&RegisterCertificate { ca_certificate_pem: several_cas, ..job(&leaf) }),
        ),
        (vec!["not_version_3", "issuer_unknown"], check(&job(with_version(&leaf, 1)))),
        (vec!["leaf_is_a_ca", "key_usage"], check(&job_under(&ca, ca.subordinate("device")))),
        (vec!["key_usage", "issuer_unknown"], check(&job(self_signed(&[KeyUsagePurpose::KeyAgreement], &[])))),
        (
            vec!["extended_key_usage", "issuer_unknown"],
            check(&job(self_signed(&[], &[ExtendedKeyUsagePurpose::ServerAuth]))),
        ),
        (vec!["issuer_unknown"], check(&job(&leaf))),
        (vec!["signature_unverifiable"], check(&unverifiable_job())),
        (vec!["ca_outside_validity"], check(&job_under(&old, old.leaf("device")))),
        (vec!["ca_outside_validity"], check_knowing(&old, &job(old.leaf("device")))),
    ];
    let padded = |label: &str, behind: &[u8]| {
        pem::encode(label, &[Certificate::from_pem(&leaf).unwrap().der(), behind].concat())
    };
    let of_other_key = ca.impostor(KeyKind::P256).subordinate("device");
    let odd_texts = [
        ("damaged_markers", leaf.replace("-----BEGIN", "----BEGIN")),
        ("unusual_label", leaf.replace("CERTIFICATE", "DEVICE IDENTITY")),
        ("padding", padded(pem::CERTIFICATE, &[0, 0])),
        ("trust_settings", padded("TRUSTED CERTIFICATE", &[0x30, 0])),
    ];
    let odd_texts = odd_texts.into_iter().chain(odd_forms());
    let odd_texts = odd_texts.map(|(code, text)| (vec![code, "issuer_unknown"], check(&job(text))));
    let cases = cases
        .into_iter()
        .chain(odd_texts)
        .chain([(vec!["leaf_is_a_ca", "key_usage", "issuer_key_differs"], check_knowing(&ca, &job(of_other_key)))]);
    let odd_cas = authority::odd().into_iter().chain(proof::odd()).chain(parameters::odd());
    let odd_cas = odd_cas.map(|(expected, request)| (expected, check_ca(&request)));
    // Reported only if the account is not known, or for devices: covered by their own tests.
    let mut seen = BTreeSet::from(["registration_code_unchecked", "status_contradicted"]);
    for (expected, verdict) in cases.chain(odd_cas) {
        assert_eq!(warnings(&verdict), expected, "{verdict:?}");
        seen.extend(expected);
    }
    assert_eq!(seen, Warning::VARIANTS.iter().copied().collect());
}

#[test]
fn a_leaf_is_sent_without_its_chain() {
    let ca = Ca::new("Plant CA");
    let leaf = ca.leaf("device");
    let verdict = check(&job_under(&ca, leaf.clone() + &ca.pem()));
    assert_eq!(verdict.result.unwrap().pem(), leaf);
}

#[test]
fn a_known_ca_of_the_same_name_but_another_key_id_is_not_the_issuer() {
    let (known, other) = (Ca::new("Plant CA"), Ca::new("Plant CA"));
    assert_eq!(warnings(&check_knowing(&known, &job(other.leaf("device")))), ["issuer_unknown"]);
    assert_eq!(warnings(&check_knowing(&known, &job(known.leaf("device")))), Vec::<&str>::new());
}

#[test]
fn a_leaf_without_key_id_is_matched_to_its_ca_by_name() {
    let ca = Ca::new("Plant CA");
    let leaf = ca.subordinate("device");
    assert_eq!(Certificate::from_pem(&leaf).unwrap().authority_key_id(), None);
    assert_eq!(warnings(&check_knowing(&ca, &job(leaf))), ["leaf_is_a_ca", "key_usage"]);
    // Premise of a key rollover: two CAs have the same name, and AWS may know the other one.
    let of_other_key = job(ca.impostor(KeyKind::P256).subordinate("device"));
    assert_eq!(warnings(&check_knowing(&ca, &of_other_key)), ["leaf_is_a_ca", "key_usage", "issuer_key_differs"]);
}

#[test]
fn an_unusable_ca_key_only_warns() {
    for name in ["a CA key of 1,024 bits", "a CA key of 8,200 bits", "a CA key that is no point"] {
        let hostile = hostile::corpus().into_iter().find(|hostile| hostile.name == name).expect(name);
        assert_eq!(warnings(&check(&hostile.request)), ["signature_unverifiable"], "{name}");
    }
}

#[test]
fn each_job_is_checked_against_its_own_ca() {
    let precheck = Precheck::new(Policy::default(), []);
    let cas: Vec<_> = (0..70).map(|_| Ca::new("Plant CA")).collect();
    for _ in 0..2 {
        for (ca, other) in cas.iter().zip(cas.iter().skip(1)) {
            let leaf = ca.leaf("device");
            assert_eq!(warnings(&precheck.check(&job_under(ca, &leaf).into(), NOW, None)), Vec::<&str>::new());
            assert!(precheck.check(&job_under(other, &leaf).into(), NOW, None).result.is_err());
        }
    }
}

#[test]
fn one_of_several_cas_with_one_name_and_key_id_suffices() {
    let ca = Ca::new("Plant CA");
    let twin = ca.impostor(KeyKind::P256);
    let issuers = [&ca, &twin].map(|ca| Issuer::new(ca.certificate().clone()).unwrap());
    let precheck = Precheck::new(Policy::default(), issuers);
    for ca in [&ca, &twin] {
        assert_eq!(warnings(&precheck.check(&job(ca.leaf("device")).into(), NOW, None)), Vec::<&str>::new());
    }
    let third = ca.impostor(KeyKind::P256).leaf("device");
    assert!(precheck.check(&job(third).into(), NOW, None).result.is_err());
}

#[test]
fn names_are_compared_without_case_and_extra_spaces() {
    let ca = Ca::new("Plant  CA");
    let same = Certificate::from_pem(&Ca::new("plant ca").leaf("device")).unwrap();
    let other = Certificate::from_pem(&Ca::new("plant ca 2").leaf("device")).unwrap();
    assert!(same.names_as_issuer(ca.certificate()));
    assert!(!other.names_as_issuer(ca.certificate()));
}

#[test]
fn printed_names_are_short_and_escaped() {
    let subject = |name: &str| Certificate::from_pem(&Ca::new("Plant CA").leaf(name)).unwrap().subject();
    assert_eq!(subject("Gerät 7"), "CN=Gerät 7");
    assert_eq!(subject("a\nERROR b\u{202e}\u{1b}[31m"), "CN=a\\u{a}ERROR b\\u{202e}\\u{1b}[31m");
    assert_eq!(subject("a, O=b"), "CN=a\\, O=b");
    assert!(subject(&"ä".repeat(10_000)).len() <= 203);
}
