//! The certificate of a CA to be registered.

use std::collections::BTreeSet;

use muster_core::certificate::{Certificate, pem};
use muster_core::job::{CertificateMode, RegisterCaCertificate, RegistrationConfig, Tag};
use muster_core::outcome::Code;
use muster_core::precheck::{Call, NotYetValid, PEM_CHARS_MAX, Policy, Precheck};
use muster_sandbox::specimen::{Ca, Flaw, KeyKind, hostile, request};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{CODE, NOW, ca_alone, ca_job, check_ca, rejection, warnings};

const DEVICE: &str = "device";

/// Returns the parameters of a CA.
pub(super) fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn self_signed(params: &CertificateParams) -> String {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// Converts a CA to an X.509 version 1 certificate, without extensions.
fn as_version_1(ca: &Ca) -> String {
    let sequence = |content: &[u8]| match u8::try_from(content.len()) {
        Ok(length) => [&[0x30, 0x81, length][..], content].concat(),
        Err(_) => [&[0x30, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat(),
    };
    let der = ca.certificate().der();
    let end = 8 + usize::from(u16::from_be_bytes([der[6], der[7]]));
    let extensions = (8..end).find(|&at| der[at] == 0xa3 && at + 2 + usize::from(der[at + 1]) == end).unwrap();
    let signed = sequence(&der[8 + 5..extensions]);
    pem::encode(pem::CERTIFICATE, &sequence(&[&signed, &der[end..]].concat()))
}

/// Returns a CA of the hostile corpus.
fn hostile_ca(name: &str) -> RegisterCaCertificate {
    let hostile = hostile::corpus().into_iter().find(|hostile| hostile.name == name).expect(name);
    ca_alone(hostile.request.ca_certificate_pem.expect(name))
}

/// Returns a CA certificate signed by an older CA: with the same name and another key, or with another name.
fn signed_by_older_key(next: &str, has_key_id: bool) -> String {
    let (old, mut new) = (params("Plant CA"), params(next));
    new.use_authority_key_identifier_extension = has_key_id;
    let issuer = Issuer::from_params(&old, KeyPair::generate().unwrap());
    new.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem()
}

/// Every way for a CA certificate to be rejected, with the expected code.
pub(super) fn rejected() -> Vec<(Code, RegisterCaCertificate)> {
    let ca = Ca::new("Plant CA");
    let key = ca.flawed(Flaw::WithPrivateKey, DEVICE);
    let dsa = super::signatures::certificates().into_iter().find(|c| c.subject() == "CN=CA DSA").unwrap();
    let in_one_line = "A".repeat(PEM_CHARS_MAX - 60);
    let with_der = |der: &[u8]| pem::encode(pem::CERTIFICATE, der);
    let der = ca.certificate().der();
    let mut cases: Vec<_> = [
        (Code::NotACertificate, String::new()),
        (Code::NotACertificate, ca.pem().replace('\n', "\\n")),
        (Code::NotACertificate, in_one_line),
        (Code::PemTooLong, " ".repeat(PEM_CHARS_MAX) + &ca.pem()),
        (Code::CertificateRequest, request("Plant CA")),
        (Code::MalformedCertificate, with_der(&der[..der.len() / 2])),
        (Code::TrailingData, with_der(&[der, &[1]].concat())),
        (Code::SeveralCertificates, ca.pem() + &Ca::new("Other CA").pem()),
        (Code::SeveralCertificates, ca.pem() + &Ca::new("Plant CA").pem()),
        (Code::SeveralCertificates, ca.subordinate("Line CA") + &ca.leaf(DEVICE)),
        (Code::CaNotACa, ca.leaf(DEVICE)),
        (Code::CaNotACa, ca.leaf(DEVICE) + &ca.pem()),
        (Code::CaNotACa, as_version_1(&ca)),
        (Code::Expired, Ca::expired("Old CA").pem()),
        (Code::KeyTooSmall, hostile_ca("a CA key of 1,024 bits").ca_certificate),
        (Code::KeyUnsupported, Ca::with_key(KeyKind::Ed25519, "Plant CA").pem()),
        (Code::KeyUnsupported, dsa.to_pem()),
        (Code::SignatureAlgorithmUnsupported, ca.impostor(KeyKind::Ed25519).subordinate("Line CA")),
        (Code::SignatureInvalid, signed_by_older_key("Plant CA", false)),
        (Code::SignatureInvalid, signed_by_older_key("PLANT  ca", false)),
        (Code::PrivateKey, key.clone()),
        (Code::PrivateKey, " ".repeat(PEM_CHARS_MAX) + &key),
    ]
    .map(|(code, text)| (code, ca_alone(text)))
    .into();
    cases.extend(with_a_key_in_other_fields(&ca, &key).map(|request| (Code::PrivateKey, request)));
    cases
}

/// Returns valid requests with a private key in each of the other texts.
fn with_a_key_in_other_fields(ca: &Ca, key: &str) -> [RegisterCaCertificate; 6] {
    let key = || Some(key.to_owned());
    let tag = |key: Option<String>, value| RegisterCaCertificate {
        tags: vec![Tag::default(), Tag { key: key.unwrap_or_default(), value }],
        ..ca_job(ca)
    };
    let config = |config| RegisterCaCertificate { registration_config: Some(config), ..ca_job(ca) };
    [
        RegisterCaCertificate { verification_certificate: key(), ..ca_alone(ca.pem()) },
        config(RegistrationConfig { template_body: key(), ..RegistrationConfig::default() }),
        config(RegistrationConfig { role_arn: key(), ..RegistrationConfig::default() }),
        config(RegistrationConfig { template_name: key(), ..RegistrationConfig::default() }),
        tag(key(), None),
        tag(None, key()),
    ]
}

/// Oddities of CA certificates, with the expected warning codes.
pub(super) fn odd() -> Vec<(Vec<&'static str>, RegisterCaCertificate)> {
    let ca = Ca::new("Plant CA");
    let mut wrong_usage = params("Plant CA");
    wrong_usage.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut nameless = params("");
    nameless.distinguished_name = DistinguishedName::new();
    let mut early = params("Plant CA");
    early.not_before = rcgen::date_time_ymd(2400, 1, 1);
    let sub = ca.subordinate("Line CA");
    vec![
        (vec!["several_certificates"], ca_alone(sub.clone() + &ca.pem())),
        (vec!["several_certificates"], ca_alone(ca.pem() + &sub)),
        (vec!["several_certificates"], ca_alone(ca.pem() + &ca.pem())),
        (vec!["not_version_3"], ca_alone(super::warnings::with_version(&sub, 2))),
        (vec!["not_yet_valid"], ca_alone(self_signed(&early))),
        (vec!["signature_unverifiable"], hostile_ca("a CA key of 8,200 bits")),
        (vec!["ca_key_usage"], ca_alone(self_signed(&wrong_usage))),
        (vec!["ca_nameless"], ca_alone(self_signed(&nameless))),
    ]
}

#[test]
fn a_valid_ca_passes_without_a_warning() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048] {
        let ca = Ca::with_key(kind, "Plant CA");
        assert_eq!(warnings(&check_ca(&ca_job(&ca))), Vec::<&str>::new(), "{kind}");
    }
    for text in [Ca::new("Plant CA").subordinate("Line CA"), signed_by_older_key("Plant CA", true)] {
        assert_eq!(warnings(&check_ca(&ca_alone(text))), Vec::<&str>::new());
    }
}

#[test]
fn the_call_has_canonical_certificates_and_other_fields_unchanged() {
    let ca = Ca::new("Plant CA");
    let untidy = |text: &str| format!("\u{feff}subject=CA\r\n{}\r\nend", text.replace('\n', "\r\n "));
    let config = RegistrationConfig {
        template_body: Some(" {} ".into()),
        role_arn: Some("r".repeat(20)),
        ..RegistrationConfig::default()
    };
    let tidy = RegisterCaCertificate {
        set_as_active: true,
        allow_auto_registration: true,
        registration_config: Some(config),
        tags: vec![Tag { key: "line".into(), value: Some("7".into()) }, Tag { key: "plant".into(), value: None }],
        certificate_mode: Some(CertificateMode::Default),
        ..ca_job(&ca)
    };
    let given = RegisterCaCertificate {
        ca_certificate: untidy(&tidy.ca_certificate),
        verification_certificate: tidy.verification_certificate.as_deref().map(untidy),
        ..tidy.clone()
    };
    let verdict = check_ca(&given);
    assert_eq!(verdict.certificate_id, Some(ca.certificate().id()));
    let checked = verdict.result.unwrap();
    assert_eq!((checked.id(), checked.pem()), (ca.certificate().id(), ca.pem().as_str()));
    let Call::RegisterCaCertificate { request, subject_key } = checked.call() else { panic!("{checked:?}") };
    assert_eq!(**request, tidy);
    assert_eq!((checked.subject_key(), checked.issuer_key(), checked.ca_pem()), (Some(*subject_key), None, None));
}

/// Premise: jobs signed by an unregistered CA are held under this key and found by it.
#[test]
fn a_cas_subject_key_is_the_issuer_key_of_its_certificates() {
    let ca = Ca::new("Plant CA");
    let key = check_ca(&ca_job(&ca)).result.unwrap().subject_key();
    let leaf = super::check(&super::job(ca.leaf(DEVICE))).result.unwrap();
    assert_eq!((key, leaf.subject_key()), (leaf.issuer_key(), None));
}

#[test]
fn a_chain_in_any_order_is_cut_to_its_last_ca() {
    let ca = Ca::new("Plant CA");
    let sub = ca.subordinate("Line CA");
    for chain in [sub.clone() + &ca.pem(), ca.pem() + &sub] {
        assert_eq!(check_ca(&ca_alone(chain)).result.unwrap().pem(), sub);
    }
}

#[test]
fn messages_name_the_field() {
    let ca = Ca::new("Plant CA");
    let text = |text: String| rejection(check_ca(&ca_alone(text))).to_string();
    assert_eq!(text(request("x")), "a certificate signing request was sent instead of caCertificate");
    assert_eq!(text(String::new()), "caCertificate cannot be read: there is no -----BEGIN CERTIFICATE----- line");
    assert_eq!(
        text(ca.pem() + &Ca::new("Other CA").pem()),
        "2 certificates were sent as caCertificate, expected exactly one CA certificate with its CAs"
    );
    assert_eq!(
        text(ca.leaf(DEVICE)),
        "caCertificate is the certificate of CN=device, whose basicConstraints do not say CA:true"
    );
}

#[test]
fn the_policy_can_reject_a_ca_that_is_not_yet_valid() {
    let mut early = params("Plant CA");
    early.not_before = rcgen::date_time_ymd(2400, 1, 1);
    let strict = Precheck::new(Policy { not_yet_valid: NotYetValid::Reject }, []);
    let verdict = strict.check(&ca_alone(self_signed(&early)).into(), NOW, Some(CODE));
    assert_eq!(rejection(verdict).code(), Code::NotYetValid);
}

#[test]
fn a_flipped_bit_passes_only_if_the_signature_cannot_be_checked() {
    let der = Ca::new("Plant CA").certificate().der().to_vec();
    let mut codes = BTreeSet::new();
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verdict = check_ca(&ca_alone(pem::encode(pem::CERTIFICATE, &flipped)));
        if let Err(rejection) = verdict.result {
            codes.insert(rejection.code());
            continue;
        }
        let is_self_issued = Certificate::from_der(&flipped).unwrap().is_self_issued();
        assert!(!is_self_issued || warnings(&verdict) == ["signature_unverifiable"], "bit {bit}");
    }
    assert!(codes.contains(&Code::SignatureInvalid), "{codes:?}");
}

#[test]
fn a_ca_too_long_in_canonical_form_is_rejected() {
    let mut large = params("Plant CA");
    large.distinguished_name.push(DnType::OrganizationName, "x".repeat(24_150));
    let text = self_signed(&large);
    let one_line = text.replace(['\n', '\r'], "");
    assert!(one_line.len() <= PEM_CHARS_MAX && text.len() > PEM_CHARS_MAX, "{} {}", one_line.len(), text.len());
    assert_eq!(rejection(check_ca(&ca_alone(&one_line))).code(), Code::PemTooLong);
    let job = muster_core::job::RegisterCertificate {
        ca_certificate_pem: Some(one_line),
        ..super::job(Ca::new("Plant CA").leaf(DEVICE))
    };
    assert_eq!(rejection(super::check(&job)).code(), Code::PemTooLong);
}
