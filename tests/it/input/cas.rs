//! Bodies of the calls for CAs, and for devices without a CA.

use muster_core::job::{
    CertificateMode, RegisterCaCertificate, RegisterCertificateWithoutCa, RegistrationConfig, Request, Tag,
};
use muster_core::outcome::{Code, Status};
use muster_sandbox::specimen::{Ca, Flaw, hostile, request};

use super::{Case, check};
use crate::factory::Factory;

/// Returns a message for an operation, with some fields of its request.
fn message(operation: &str, fields: &str) -> String {
    format!(r#"{{"version":1,"operation":"{operation}","request":{{{fields}}}}}"#)
}

/// Returns a complete message for a CA, with additional fields.
fn of_ca(fields: &str) -> String {
    message("RegisterCACertificate", &format!(r#""caCertificate":"x"{fields}"#))
}

fn not_jobs() -> Vec<Case> {
    let no_job = |name, body: String| Case::no_job(name, "not_a_job", body);
    let of_device = |fields: &str| message("RegisterCertificateWithoutCA", fields);
    vec![
        no_job("no certificate", message("RegisterCACertificate", "")),
        no_job("a certificate of null", message("RegisterCACertificate", r#""caCertificate":null"#)),
        no_job("a certificate as a number", message("RegisterCACertificate", r#""caCertificate":1"#)),
        no_job("a device's field", of_ca(r#","certificatePem":"x""#)),
        no_job("a status", of_ca(r#","status":"ACTIVE""#)),
        no_job("a field of another spelling", of_ca(r#","CaCertificate":"x""#)),
        no_job("a CA twice", of_ca(r#","caCertificate":"x""#)),
        no_job("activity as text", of_ca(r#","setAsActive":"true""#)),
        no_job("activity of null", of_ca(r#","setAsActive":null"#)),
        no_job("an unknown mode", of_ca(r#","certificateMode":"BOTH""#)),
        no_job("a mode in small letters", of_ca(r#","certificateMode":"sni_only""#)),
        no_job("a template as an object", of_ca(r#","registrationConfig":{"templateBody":{}}"#)),
        no_job("an unknown field of a template", of_ca(r#","registrationConfig":{"colour":1}"#)),
        no_job("tags as an object", of_ca(r#","tags":{"a":"b"}"#)),
        no_job("tags of null", of_ca(r#","tags":null"#)),
        no_job("a tag of null", of_ca(r#","tags":[null]"#)),
        no_job("a tag without a key", of_ca(r#","tags":[{"Value":"b"}]"#)),
        no_job("a tag in small letters", of_ca(r#","tags":[{"key":"a"}]"#)),
        no_job("a tag with a number", of_ca(r#","tags":[{"Key":"a","Value":1}]"#)),
        Case::no_job("a lone surrogate in a tag", "not_json", of_ca(r#","tags":[{"Key":"\udc00"}]"#)),
        no_job("a CA next to a device without one", of_device(r#""certificatePem":"x","caCertificatePem":"y""#)),
        no_job("setAsActive for a device", of_device(r#""certificatePem":"x","setAsActive":true"#)),
        no_job("no device", of_device(r#""status":"ACTIVE""#)),
    ]
}

/// Creates a request in mode `SNI_ONLY`.
fn sni_only(ca_certificate: String) -> RegisterCaCertificate {
    let certificate_mode = Some(CertificateMode::SniOnly);
    RegisterCaCertificate { ca_certificate, certificate_mode, ..RegisterCaCertificate::default() }
}

/// Cases with a different CA each: a CA that is sent twice has only one row.
fn invalid() -> Vec<Case> {
    let ca = || Ca::new("Plant CA");
    let config = |config| RegisterCaCertificate { registration_config: Some(config), ..sni_only(ca().pem()) };
    let name =
        |name: &str| RegistrationConfig { template_name: Some(name.to_owned()), ..RegistrationConfig::default() };
    let body = |body: String| RegistrationConfig { template_body: Some(body), ..RegistrationConfig::default() };
    let tag = Tag { key: "a".to_owned(), value: None };
    let of_device = |flaw| {
        Request::from(RegisterCertificateWithoutCa { certificate_pem: ca().flawed(flaw, "device"), status: None })
    };
    let missing = RegisterCaCertificate { certificate_mode: None, ..sni_only(ca().pem()) };
    let unexpected =
        RegisterCaCertificate { verification_certificate: Some(ca().verification("code")), ..sni_only(ca().pem()) };
    vec![
        Case::job("no-CA-at-all", Code::NotACertificate, sni_only("x".to_owned())),
        Case::job("a-CA-request", Code::CertificateRequest, sni_only(request("Plant CA"))),
        Case::job("a-leaf-as-CA", Code::CaNotACa, sni_only(ca().leaf("device"))),
        Case::job("an-expired-CA", Code::Expired, sni_only(Ca::expired("Old CA").pem())),
        Case::job("two-CAs", Code::SeveralCertificates, sni_only(ca().pem() + &Ca::new("Other CA").pem())),
        Case::job("no-proof", Code::VerificationMissing, missing),
        Case::job("a-proof-too-many", Code::VerificationUnexpected, unexpected),
        Case::job("a-template-name-with-a-dot", Code::ParameterInvalid, config(name("a.b"))),
        Case::job("a-long-template", Code::ParameterInvalid, config(body("x".repeat(10_241)))),
        Case::job("a-key-in-a-template", Code::PrivateKey, config(body(ca().flawed(Flaw::WithPrivateKey, "device")))),
        Case::job(
            "a-tag-twice",
            Code::ParameterInvalid,
            RegisterCaCertificate { tags: vec![tag.clone(), tag], ..sni_only(ca().pem()) },
        ),
        Case::job("an-expired-device", Code::Expired, of_device(Flaw::Expired)),
        Case::job("a-weak-device", Code::KeyTooSmall, of_device(Flaw::WeakKey)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_input_gets_its_exact_outcome() {
    let factory = Factory::new(1000.0).await;
    let cases: Vec<Case> = not_jobs().into_iter().chain(invalid()).collect();
    check(&factory, &cases).await;
}

/// Maximum size of a message, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_ca_is_rejected_without_a_call() {
    let factory = Factory::new(1000.0).await;
    let mut n_sent = 0;
    for hostile in hostile::ca_corpus() {
        // A proof is not allowed in this mode, so every case is rejected without a call.
        let request = RegisterCaCertificate {
            verification_certificate: Some(hostile.request.ca_certificate.clone()),
            certificate_mode: Some(CertificateMode::SniOnly),
            ..hostile.request
        };
        let body = Factory::job_of(request).to_body();
        if body.len() <= MESSAGE_MAX {
            factory.send(&[body]).await;
            n_sent += 1;
        }
    }
    assert!(n_sent > 70, "{n_sent}");
    let metrics = factory.drain().await;
    let outcomes = factory.outcomes().await;
    assert_eq!(metrics.job_panics.get(), 0);
    assert!(outcomes.keys().all(|code| code.status() == Status::Rejected), "{outcomes:?}");
    assert_eq!(factory.n_calls(), 0);
}
