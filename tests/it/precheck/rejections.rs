//! Every reason to reject a request, and what is accepted.

use std::collections::BTreeSet;

use muster_core::certificate::{Certificate, CertificateId, pem};
use muster_core::job::{CertificateStatus, RegisterCertificate, Request};
use muster_core::outcome::{Code, Status};
use muster_core::precheck::{NotYetValid, PEM_CHARS_MAX, Policy, Precheck};
use muster_sandbox::specimen::{Ca, Flaw, request};
use rcgen::generate_simple_self_signed;
use strum::VariantArray;
use time::Duration;

use super::devices::status;
use super::{CODE, NOW, authority, check, check_knowing, job, job_under, parameters, proof, rejection};

fn reject_not_yet_valid() -> Precheck {
    Precheck::new(Policy { not_yet_valid: NotYetValid::Reject }, [])
}

/// Every way to be rejected, with the expected code.
fn rejected(ca: &Ca) -> Vec<(Code, Request)> {
    let devices = rejected_devices(ca).into_iter().map(|(code, request)| (code, request.into()));
    let cas = authority::rejected().into_iter().chain(proof::rejected()).chain(parameters::rejected());
    devices.chain(cas.map(|(code, request)| (code, request.into()))).collect()
}

fn rejected_devices(ca: &Ca) -> Vec<(Code, RegisterCertificate)> {
    let leaf = ca.leaf("device");
    let with_ca = |ca: &str| RegisterCertificate { ca_certificate_pem: Some(ca.to_owned()), ..job(&leaf) };
    let with_status = |status| RegisterCertificate { status: Some(status), ..job(&leaf) };
    let key = ca.flawed(Flaw::WithPrivateKey, "device");
    let mut jobs: Vec<_> =
        Flaw::VARIANTS.iter().map(|&flaw| (flaw.code(), job_under(ca, ca.flawed(flaw, "device")))).collect();
    jobs.extend([
        (Code::NotACertificate, job("")),
        (Code::NotACertificate, job(leaf.replace('\n', "\\n"))),
        (Code::NotACertificate, job(&leaf[..leaf.len() / 2])),
        (Code::NotACertificate, job(leaf.replace("CERTIFICATE", "PUBLIC KEY"))),
        (Code::MalformedCertificate, job(pem::encode(pem::CERTIFICATE, b"not DER"))),
        (Code::CertificateRequest, job(request("device").replace(" REQUEST", ""))),
        (Code::SeveralCertificates, job(leaf.clone() + &ca.pem() + &ca.leaf("another"))),
        (Code::SeveralCertificates, job(ca.subordinate("Line CA") + &ca.pem())),
        (Code::NotACertificate, job(leaf.replace("CERTIFICATE", "PKCS7").replace("MII", "III") + &ca.pem())),
        (Code::CertificateRequest, job(request("device") + &ca.pem())),
        (Code::PrivateKey, job(pem::encode(pem::CERTIFICATE, &private_key_der(&key)))),
        (Code::PrivateKey, with_ca(&key)),
        (Code::PrivateKey, job(" ".repeat(PEM_CHARS_MAX) + &key)),
        (Code::PrivateKey, job("-----BEGIN RSA PRIVATE KEY-----")),
        (Code::PrivateKey, job(leaf.clone() + "–begin rsa private key–")),
        (Code::PemTooLong, with_ca(&(" ".repeat(PEM_CHARS_MAX) + &ca.pem()))),
        (Code::CaUnreadable, with_ca("")),
        (Code::CaUnreadable, with_ca(&ca.pem().replace("MII", "III"))),
        (Code::CaNotACa, with_ca(&leaf)),
        (Code::StatusUnusable, with_status(CertificateStatus::PendingActivation)),
        (Code::StatusUnusable, with_status(CertificateStatus::PendingTransfer)),
        (Code::StatusUnusable, with_status(CertificateStatus::RegisterInactive)),
    ]);
    jobs
}

/// Returns the DER of the private key in a text.
fn private_key_der(text: &str) -> Vec<u8> {
    pem::blocks(text).find(|block| block.kind == pem::BlockKind::PrivateKey).unwrap().decode().unwrap()
}

#[test]
fn every_cause_and_every_code_is_covered() {
    let ca = Ca::new("Plant CA");
    let mut seen = BTreeSet::from([Code::NotYetValid]);
    for (code, request) in rejected(&ca) {
        let verdict = Precheck::new(Policy::default(), []).check(&request, NOW, Some(CODE));
        assert_eq!(rejection(verdict).code(), code, "{request:?}");
        seen.insert(code);
    }
    assert_eq!(
        rejection(reject_not_yet_valid().check(&job(ca.not_yet_valid_leaf("d")).into(), NOW, None)).code(),
        Code::NotYetValid
    );
    let rejected: BTreeSet<_> = Code::VARIANTS.iter().copied().filter(|c| c.status() == Status::Rejected).collect();
    assert_eq!(seen, rejected);
}

#[test]
fn messages_follow_the_style_and_never_repeat_the_pem() {
    let ca = Ca::new("Plant CA");
    for (_, request) in rejected(&ca) {
        let rejection = rejection(Precheck::new(Policy::default(), []).check(&request, NOW, Some(CODE)));
        let text = format!("{rejection} {}", rejection.hint().unwrap_or_default());
        assert!(!rejection.to_string().ends_with('.') && text.len() < 600, "{text}");
        let fields = serde_json::to_value(&request).unwrap().to_string();
        assert!(fields.split("\\n").filter(|line| line.len() == 64).all(|line| !text.contains(line)), "{text}");
    }
}

#[test]
fn rejections_state_found_and_expected_values() {
    let ca = Ca::new("Plant CA");
    let text = |flaw| rejection(check(&job_under(&ca, ca.flawed(flaw, "device")))).to_string();
    assert_eq!(text(Flaw::Expired), "the certificate expired at 2019-12-31T23:59:59Z, checked at 2026-11-21T12:00:00Z");
    assert_eq!(text(Flaw::WeakKey), "the RSA key has 1024 bits, AWS requires at least 2048");
    assert_eq!(text(Flaw::Ed25519Key), "the key is Ed25519 (1.3.101.112); AWS accepts RSA, P-256, P-384 and P-521");
    assert_eq!(
        text(Flaw::Foreign),
        "the certificate was issued by CN=a CA that nobody registered, but the CA sent with it is CN=Plant CA"
    );
    assert_eq!(
        text(Flaw::WronglySigned),
        format!(
            "the ecdsa-with-SHA256 signature does not verify under the key of CN=Plant CA (CA certificate {})",
            ca.certificate().id()
        )
    );
}

#[test]
fn the_hint_mentions_escaped_line_ends() {
    let hint = |text: String| rejection(check(&job(text))).hint();
    let leaf = Ca::new("Plant CA").leaf("device");
    assert_eq!(
        hint(leaf.replace('\n', "\\n")),
        Some("the line ends are written as a backslash and an n; send real line ends")
    );
    assert_ne!(hint(leaf[..leaf.len() / 2].to_owned()), hint(leaf.replace('\n', "\\n")));
}

#[test]
fn validity_includes_its_first_and_last_second() {
    let ca = Ca::new("Plant CA");
    let leaf = Certificate::from_pem(&ca.flawed(Flaw::Expired, "device")).unwrap();
    let at = |now| {
        reject_not_yet_valid().check(&job(leaf.to_pem()).into(), now, None).result.map_err(|rejection| rejection.code())
    };
    let second = Duration::SECOND;
    assert_eq!(at(leaf.not_before() - second).unwrap_err(), Code::NotYetValid);
    assert!(at(leaf.not_before()).is_ok());
    assert!(at(leaf.not_after()).is_ok());
    assert_eq!(at(leaf.not_after() + second).unwrap_err(), Code::Expired);
}

#[test]
fn a_wrong_signature_is_found_with_a_known_ca() {
    let ca = Ca::new("Plant CA");
    let verdict = check_knowing(&ca, &job(ca.flawed(Flaw::WronglySigned, "device")));
    assert_eq!(rejection(verdict).code(), Code::SignatureInvalid);
}

#[test]
fn a_private_key_is_reported_before_any_other_flaw() {
    let ca = Ca::new("Plant CA");
    for &flaw in Flaw::VARIANTS {
        let text = ca.flawed(flaw, "device") + &ca.flawed(Flaw::WithPrivateKey, "device");
        assert_eq!(rejection(check(&job(text))).code(), Code::PrivateKey, "{flaw}");
    }
}

#[test]
fn a_rejected_but_readable_certificate_keeps_its_id() {
    let ca = Ca::new("Plant CA");
    for flaw in [Flaw::Expired, Flaw::WeakKey, Flaw::WronglySigned, Flaw::TrailingByte, Flaw::WithPrivateKey] {
        let text = ca.flawed(flaw, "device");
        let block = pem::blocks(&text).next().unwrap().decode().unwrap();
        let id = Certificate::from_der_start(&block).unwrap().0.id();
        let verdict = check(&job_under(&ca, text));
        assert_eq!((verdict.certificate_id, verdict.subject), (Some(id), id.0), "{flaw}");
    }
}

#[test]
fn a_text_without_a_certificate_is_identified_by_its_digest() {
    let verdict = check(&job("no certificate"));
    assert_eq!(verdict.certificate_id, None);
    assert_eq!(verdict.subject, CertificateId::of_der(b"no certificate").0);
}

#[test]
fn a_valid_job_is_sent_in_canonical_form() {
    let ca = Ca::new("Plant CA");
    let leaf = ca.leaf("device");
    let untidy = |text: &str| format!("\u{feff}subject=device\r\n{}\r\nend", text.replace('\n', "\r\n "));
    let job = RegisterCertificate {
        certificate_pem: untidy(&leaf),
        ca_certificate_pem: Some(untidy(&ca.pem())),
        status: Some(CertificateStatus::Active),
        set_as_active: None,
    };
    let verdict = check(&job);
    assert_eq!(verdict.warnings, []);
    let checked = verdict.result.unwrap();
    assert_eq!((checked.pem(), checked.ca_pem()), (leaf.as_str(), Some(ca.pem().as_str())));
    assert_eq!(status(&checked), Some(CertificateStatus::Active));
    assert_eq!(Some(checked.id()), verdict.certificate_id);
}

#[test]
fn omitted_fields_are_not_sent() {
    let ca = Ca::new("Plant CA");
    let [one, other] = ["one", "other"].map(|name| check_knowing(&ca, &job(ca.leaf(name))).result.unwrap());
    assert_eq!((one.ca_pem(), status(&one)), (None, None));
    assert_eq!(one.issuer_key(), other.issuer_key());
}

#[test]
fn a_certificate_too_long_in_canonical_form_is_rejected() {
    let names = (0..708).map(|number| format!("{number}.{}", "a".repeat(63))).collect::<Vec<_>>();
    let pem = generate_simple_self_signed(names).unwrap().cert.pem();
    let one_line = pem.replace('\n', "");
    assert!(one_line.len() <= PEM_CHARS_MAX && pem.len() > PEM_CHARS_MAX, "{} {}", one_line.len(), pem.len());
    assert_eq!(rejection(check(&job(one_line))).code(), Code::PemTooLong);
}
