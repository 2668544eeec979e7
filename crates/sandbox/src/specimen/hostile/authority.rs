//! Hostile requests to register a CA.

use muster_core::job::{CertificateMode, RegisterCaCertificate, RegistrationConfig, Tag};

use super::parts::{CA_TRUE, CertificateParts, basic_constraints, name};
use super::{Hostile, certificate_pem, ders, leaves, texts, under_cas};

/// Returns the whole corpus of CA registrations.
pub fn ca_corpus() -> Vec<Hostile<RegisterCaCertificate>> {
    let mut corpus = Vec::new();
    let ca_texts = texts().chain(ders().map(|(name, der)| (name, certificate_pem(&der)))).chain(cas());
    corpus.extend(ca_texts.map(|(name, text)| Hostile { name, request: alone(text) }));
    let proofs = texts().chain(leaves().map(|(name, leaf)| (name, leaf.pem())));
    corpus.extend(proofs.map(|(name, text)| Hostile { name, request: proven(&subordinate(), text) }));
    corpus.extend(under_cas().map(|(name, leaf, ca)| Hostile { name, request: proven(&ca, leaf.pem()) }));
    corpus.extend(with_parameters().map(|(name, request)| Hostile { name, request }));
    corpus
}

/// Creates a request in mode `SNI_ONLY`.
fn alone(ca_certificate: String) -> RegisterCaCertificate {
    let certificate_mode = Some(CertificateMode::SniOnly);
    RegisterCaCertificate { ca_certificate, certificate_mode, ..RegisterCaCertificate::default() }
}

/// Creates a request in mode DEFAULT.
fn proven(ca: &CertificateParts, proof: String) -> RegisterCaCertificate {
    let verification_certificate = Some(proof);
    RegisterCaCertificate { ca_certificate: ca.pem(), verification_certificate, ..RegisterCaCertificate::default() }
}

/// Creates a CA whose issuer is not available to verify it.
fn subordinate() -> CertificateParts {
    CertificateParts { issuer: name(b"root", 1), ..CertificateParts::ca() }
}

/// CAs with one field that is expensive to parse, and chains of CAs.
fn cas() -> impl Iterator<Item = (&'static str, String)> {
    let as_ca = |leaf: CertificateParts| CertificateParts {
        extensions: [vec![basic_constraints(&CA_TRUE)], leaf.extensions].concat(),
        ..leaf
    };
    let named = |issuer: &[u8], subject: &[u8]| {
        CertificateParts { issuer: name(issuer, 220), subject: name(subject, 220), ..CertificateParts::ca() }.pem()
    };
    let chains = [
        ("a CA many times over", CertificateParts::ca().pem().repeat(150)),
        ("a chain of many names", (b'a'..b'g').map(|subject| named(&[subject + 1], &[subject])).collect()),
    ];
    leaves().map(move |(name, leaf)| (name, as_ca(leaf).pem())).chain(chains)
}

/// Templates and tags far beyond what AWS accepts, or just within it.
fn with_parameters() -> impl Iterator<Item = (&'static str, RegisterCaCertificate)> {
    let with_template = |body: String| {
        let config = RegistrationConfig { template_body: Some(body), ..RegistrationConfig::default() };
        RegisterCaCertificate { registration_config: Some(config), ..alone(subordinate().pem()) }
    };
    let with_tags = |n: usize, n_chars: usize| {
        let tag = |number| Tag { key: format!("{number}"), value: Some("\u{1f511}".repeat(n_chars)) };
        RegisterCaCertificate { tags: (0..n).map(tag).collect(), ..alone(subordinate().pem()) }
    };
    [
        ("a template that never ends", with_template("[".repeat(10_240))),
        ("a template of four-byte characters", with_template("\u{1f511}".repeat(10_240))),
        ("a template of a megabyte", with_template("-".repeat(1_000_000))),
        ("fifty long tags", with_tags(50, 256)),
        ("a tag of a megabyte", with_tags(1, 250_000)),
        ("thousands of tags", with_tags(20_000, 1)),
    ]
    .into_iter()
}
