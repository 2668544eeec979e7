//! Every signature algorithm with every key, created by another implementation (`tests/data/signatures.py`).

use muster_core::certificate::{Certificate, Issuer, Verification, pem};
use muster_sandbox::specimen::{Ca, KeyKind};

/// Returns CAs, each followed by the leaves that it signed. The name of a leaf is the name of its signature algorithm.
pub(super) fn certificates() -> Vec<Certificate> {
    let text = include_str!("../../data/signatures.pem");
    pem::blocks(text).map(|block| Certificate::from_der(&block.decode().unwrap()).unwrap()).collect()
}

/// Returns the verdicts on all leaves, after changing the bytes of each.
fn verdicts(change: impl Fn(&mut Vec<u8>)) -> Vec<(String, Verification)> {
    let mut verdicts = Vec::new();
    let mut issuer = None;
    for certificate in certificates() {
        if certificate.is_ca() {
            issuer = Some(Issuer::new(certificate).unwrap());
            continue;
        }
        let mut der = certificate.der().to_vec();
        change(&mut der);
        let leaf = Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.subject(), format!("CN={}", certificate.signature_algorithm()));
        verdicts.push((format!("{} by {}", leaf.subject(), leaf.issuer()), issuer.as_ref().unwrap().verify(&leaf)));
    }
    verdicts
}

/// The signatures that cannot be verified here; all others can.
const UNVERIFIABLE: [&str; 5] = [
    "CN=rsassaPss with unusual parameters by CN=CA RSA",
    "CN=dsa_with_SHA256 by CN=CA DSA",
    "CN=Ed25519 (1.3.101.112) by CN=CA Ed25519",
    "CN=ecdsa-with-SHA256 by CN=CA secp256k1",
    "CN=ecdsa-with-SHA224 (1.2.840.10045.4.3.1) by CN=CA secp256k1",
];

fn expected(name: &str, verifiable: Verification) -> Verification {
    if UNVERIFIABLE.contains(&name) { Verification::Unsupported } else { verifiable }
}

#[test]
fn signatures_of_every_algorithm_and_key_verify() {
    let verdicts = verdicts(|_| {});
    assert_eq!(verdicts.len(), 3 * 3 + 6 + UNVERIFIABLE.len());
    for (name, verdict) in verdicts {
        assert_eq!(verdict, expected(&name, Verification::Good), "{name}");
    }
}

#[test]
fn one_flipped_bit_breaks_every_signature() {
    let last = |der: &mut Vec<u8>| *der.last_mut().unwrap() ^= 1;
    let serial = |der: &mut Vec<u8>| der[20] ^= 1;
    for (name, verdict) in verdicts(last).into_iter().chain(verdicts(serial)) {
        assert_eq!(verdict, expected(&name, Verification::Bad), "{name}");
    }
}

#[test]
fn no_issuer_verifies_another_issuers_signature() {
    let all = certificates();
    for issuer in all.iter().filter(|certificate| certificate.is_ca()) {
        let key = Issuer::new(issuer.clone()).unwrap();
        for leaf in all.iter().filter(|certificate| certificate.issuer_der() != issuer.subject_der()) {
            assert_ne!(key.verify(leaf), Verification::Good, "{leaf:?} under {issuer:?}");
        }
    }
}

#[test]
fn leaves_and_cas_of_every_key_kind_verify() {
    for ca_kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048] {
        let ca = Ca::with_key(ca_kind, "Plant CA");
        let issuer = Issuer::new(ca.certificate().clone()).unwrap();
        for leaf_kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048] {
            let leaf = Certificate::from_pem(&ca.leaf_with_key(leaf_kind, "device")).unwrap();
            assert_eq!(issuer.verify(&leaf), Verification::Good, "{leaf_kind} under {ca_kind}");
        }
    }
}

#[test]
fn only_a_ca_can_be_an_issuer() {
    let leaf = Certificate::from_pem(&Ca::new("Plant CA").leaf("device")).unwrap();
    let error = Issuer::new(leaf).unwrap_err();
    assert_eq!(error.to_string(), "CN=device is not a CA certificate: its basicConstraints do not say CA:true");
}
