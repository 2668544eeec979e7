//! The mode of a CA, and the verification certificate that it requires or forbids.

use muster_core::certificate::Certificate;
use muster_core::job::{CertificateMode, RegisterCaCertificate};
use muster_core::outcome::Code;
use muster_core::precheck::{Call, Policy, Precheck};
use muster_sandbox::specimen::{Ca, Flaw, hostile};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, Issuer, KeyPair};
use strum::VariantArray;

use super::authority::params;
use super::{CODE, NOW, ca_alone, ca_job, check_ca, rejection, warnings};

fn with_proof(ca: &Ca, proof: impl Into<String>) -> RegisterCaCertificate {
    RegisterCaCertificate { verification_certificate: Some(proof.into()), ..ca_job(ca) }
}

/// Every way for a proof to be rejected, with the expected code.
pub(super) fn rejected() -> Vec<(Code, RegisterCaCertificate)> {
    let ca = Ca::new("Plant CA");
    let code_of = |flaw| match flaw {
        Flaw::WithPrivateKey => Code::PrivateKey,
        Flaw::Foreign | Flaw::WronglySigned => Code::VerificationNotSigned,
        _ => Code::VerificationInvalid,
    };
    let mut cases: Vec<_> =
        Flaw::VARIANTS.iter().map(|&flaw| (code_of(flaw), with_proof(&ca, ca.flawed(flaw, CODE)))).collect();
    let mode = |certificate_mode, request| RegisterCaCertificate { certificate_mode, ..request };
    let without = || RegisterCaCertificate { verification_certificate: None, ..ca_job(&ca) };
    let proof = ca.verification(CODE);
    cases.extend([
        (Code::VerificationMissing, mode(None, without())),
        (Code::VerificationMissing, mode(Some(CertificateMode::Default), without())),
        (Code::VerificationUnexpected, mode(Some(CertificateMode::SniOnly), ca_job(&ca))),
        (Code::ParameterInvalid, with_proof(&ca, "")),
        (Code::ParameterInvalid, mode(Some(CertificateMode::SniOnly), with_proof(&ca, ""))),
        (Code::VerificationInvalid, with_proof(&ca, " ")),
        (Code::VerificationInvalid, with_proof(&ca, proof.clone() + &Ca::new("Other CA").pem())),
        (Code::VerificationNotSigned, with_proof(&ca, Ca::new("Plant CA").verification(CODE))),
        (Code::VerificationNotSigned, with_proof(&Ca::new("Line CA"), proof)),
        (Code::RegistrationCodeMismatch, with_proof(&ca, ca.verification(&CODE[1..]))),
        (Code::RegistrationCodeMismatch, with_proof(&ca, ca.verification(&CODE.to_uppercase()))),
        (Code::RegistrationCodeMismatch, with_proof(&ca, ca.verification(&"x".repeat(5_000)))),
        (Code::RegistrationCodeMismatch, with_names([])),
    ]);
    cases
}

/// Oddities of proofs, with the expected warning codes.
pub(super) fn odd() -> Vec<(Vec<&'static str>, RegisterCaCertificate)> {
    let ca = Ca::new("Plant CA");
    vec![
        (vec!["several_certificates"], with_proof(&ca, ca.verification(CODE) + &ca.pem())),
        (vec!["not_yet_valid"], with_proof(&ca, ca.not_yet_valid_leaf(CODE))),
    ]
}

/// Returns a CA and a proof with these common names, each in its encoding.
fn with_names<const N: usize>(names: [DnValue; N]) -> RegisterCaCertificate {
    let (ca, key) = (params("Plant CA"), KeyPair::generate().unwrap());
    let mut proof = CertificateParams::default();
    proof.distinguished_name = DistinguishedName::new();
    for (at, name) in names.into_iter().enumerate() {
        // Named by its OID, an attribute can appear twice.
        let kind = if at == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
        proof.distinguished_name.push(kind, name);
    }
    let proof = proof.signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&ca, &key)).unwrap();
    RegisterCaCertificate {
        ca_certificate: ca.self_signed(&key).unwrap().pem(),
        verification_certificate: Some(proof.pem()),
        ..RegisterCaCertificate::default()
    }
}

#[test]
fn sni_only_without_a_proof_passes() {
    let verdict = check_ca(&ca_alone(Ca::new("Plant CA").pem()));
    assert_eq!(warnings(&verdict), Vec::<&str>::new());
}

#[test]
fn a_proof_is_sent_without_its_chain() {
    let ca = Ca::new("Plant CA");
    let proof = ca.verification(CODE);
    let checked = check_ca(&with_proof(&ca, proof.clone() + &ca.pem())).result.unwrap();
    let Call::RegisterCaCertificate { request, .. } = checked.call() else { panic!("{checked:?}") };
    assert_eq!(request.verification_certificate.as_deref(), Some(proof.as_str()));
}

#[test]
fn an_unknown_registration_code_only_warns() {
    let ca = Ca::new("Plant CA");
    let precheck = Precheck::new(Policy::default(), []);
    let verdict = |request: RegisterCaCertificate| precheck.check(&request.into(), NOW, None);
    assert_eq!(warnings(&verdict(with_proof(&ca, ca.verification("other")))), ["registration_code_unchecked"]);
    assert_eq!(warnings(&verdict(ca_alone(ca.pem()))), Vec::<&str>::new());
}

#[test]
fn an_unverifiable_proof_only_warns() {
    let name = "a CA key of 8,200 bits";
    let hostile = hostile::corpus().into_iter().find(|hostile| hostile.name == name).unwrap().request;
    let request = RegisterCaCertificate {
        ca_certificate: hostile.ca_certificate_pem.unwrap(),
        verification_certificate: Some(hostile.certificate_pem),
        ..RegisterCaCertificate::default()
    };
    let verdict = Precheck::new(Policy::default(), []).check(&request.into(), NOW, Some("hostile"));
    assert_eq!(warnings(&verdict), ["signature_unverifiable"; 2]);
}

#[test]
fn a_common_name_is_read_in_every_encoding() {
    for name in [
        DnValue::Utf8String(CODE.into()),
        DnValue::PrintableString(CODE.try_into().unwrap()),
        DnValue::Ia5String(CODE.try_into().unwrap()),
        DnValue::TeletexString(CODE.try_into().unwrap()),
        DnValue::BmpString(CODE.try_into().unwrap()),
    ] {
        let request = with_names([name.clone()]);
        let proof = Certificate::from_pem(request.verification_certificate.as_ref().unwrap()).unwrap();
        assert_eq!(proof.common_names(), [CODE], "{name:?}");
        assert_eq!(warnings(&check_ca(&request)), Vec::<&str>::new(), "{name:?}");
    }
}

#[test]
fn one_of_several_common_names_is_enough() {
    let name = |text: &str| DnValue::Utf8String(text.into());
    for names in [[name("other"), name(CODE)], [name(CODE), name("other")]] {
        assert_eq!(warnings(&check_ca(&with_names(names))), Vec::<&str>::new());
    }
    let verdict = check_ca(&with_names([name("one"), name("other")]));
    assert_eq!(rejection(verdict).code(), Code::RegistrationCodeMismatch);
}

#[test]
fn messages_name_the_precise_cause() {
    let ca = Ca::new("Plant CA");
    let text = |proof: String| rejection(check_ca(&with_proof(&ca, proof))).to_string();
    assert_eq!(
        text(ca.flawed(Flaw::WeakKey, CODE)),
        "the verification certificate cannot be used: the RSA key has 1024 bits, AWS requires at least 2048"
    );
    assert_eq!(
        text(ca.flawed(Flaw::Request, CODE)),
        "the verification certificate cannot be used: a certificate signing request was sent instead of \
         verificationCertificate"
    );
    assert_eq!(
        text(Ca::new("Line CA").verification(CODE)),
        format!(
            "verificationCertificate was issued by CN=Line CA and not signed by the key of CN=Plant CA (CA \
             certificate {})",
            ca.certificate().id()
        )
    );
    assert_eq!(
        text(ca.verification("other")),
        format!(
            "verificationCertificate has the subject CN=other, its common name must be the registration code {CODE}"
        )
    );
    assert_eq!(text(String::new()), "verificationCertificate has 0 characters, AWS accepts 1 to 65536");
}

#[test]
fn a_missing_proof_comes_with_a_hint_how_to_make_one() {
    let ca = Ca::new("Plant CA");
    let request = RegisterCaCertificate { verification_certificate: None, ..ca_job(&ca) };
    let hint = rejection(check_ca(&request)).hint().unwrap();
    assert!(hint.contains("`muster ca code`") && hint.contains("`muster ca register --key`"), "{hint}");
}
