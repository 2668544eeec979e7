//! Every parameter of the three calls, from the message to AWS; one test for each.

use std::collections::BTreeMap;

use muster_core::certificate::{Certificate, CertificateId};
use muster_core::job::{CertificateMode, CertificateStatus, RegisterCaCertificate, RegisterCertificate};
use muster_core::job::{RegisterCertificateWithoutCa, RegistrationConfig, Request, Tag};
use muster_sandbox::specimen::{Ca, KeyKind};
use muster_sandbox::{RegisteredAuthority, RegisteredCertificate, SandboxSettings};

use super::{factory, only_row, proven, send, sni_only};
use crate::factory::{Factory, count_only};

fn id(pem: &str) -> CertificateId {
    Certificate::from_pem(pem).unwrap().id()
}

/// Returns what AWS has registered after one job.
async fn registered(factory: &Factory, request: impl Into<Request>) -> RegisteredCertificate {
    let request = request.into();
    let id = id(request.pem());
    send(factory, [Factory::job_of(request)]).await;
    factory.drain().await;
    factory.sandbox.ledger().certificate(id).expect("it is registered")
}

/// Returns the CA that AWS has registered after one job.
async fn registered_ca(factory: &Factory, request: RegisterCaCertificate) -> RegisteredAuthority {
    let id = id(&request.ca_certificate);
    send(factory, [Factory::job_of(request)]).await;
    factory.drain().await;
    factory.sandbox.ledger().authority(id).expect("it is registered")
}

#[tokio::test(flavor = "multi_thread")]
async fn register_certificate_certificate_pem() {
    let factory = factory(500.0).await;
    let pem = factory.ca.leaf("device");
    let request = RegisterCertificate { certificate_pem: pem.clone(), ..RegisterCertificate::default() };
    assert_eq!(registered(&factory, request).await.id, id(&pem));
}

#[tokio::test(flavor = "multi_thread")]
async fn register_certificate_ca_certificate_pem() {
    let factory = factory(500.0).await;
    let twin = Ca::new("Plant CA");
    factory.sandbox.plant_ca(&twin.pem()).unwrap();
    let (certificate_pem, ca_certificate_pem) = (twin.leaf("device"), Some(twin.pem()));
    let request = RegisterCertificate { certificate_pem, ca_certificate_pem, ..RegisterCertificate::default() };
    assert_eq!(registered(&factory, request).await.ca, Some(twin.certificate().id()));
    assert_eq!(factory.n_calls(), 1, "no conflict, as the CA was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn register_certificate_status() {
    for (status, wanted) in [
        (None, CertificateStatus::Inactive),
        (Some(CertificateStatus::Active), CertificateStatus::Active),
        (Some(CertificateStatus::Revoked), CertificateStatus::Revoked),
    ] {
        let factory = factory(500.0).await;
        let certificate_pem = factory.ca.leaf("device");
        let request = RegisterCertificate { certificate_pem, status, ..RegisterCertificate::default() };
        assert_eq!(registered(&factory, request).await.status, wanted);
        let (code, _, known) = only_row(&factory, "RegisterCertificate").await;
        assert_eq!((code.as_str(), known), ("ok", Some(wanted.to_string())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_certificate_set_as_active_becomes_a_status() {
    for (set_as_active, status, wanted) in [
        (Some(true), None, CertificateStatus::Active),
        (Some(false), None, CertificateStatus::Inactive),
        (Some(true), Some(CertificateStatus::Inactive), CertificateStatus::Inactive),
    ] {
        let factory = factory(500.0).await;
        let certificate_pem = factory.ca.leaf("device");
        let request = RegisterCertificate { certificate_pem, set_as_active, status, ca_certificate_pem: None };
        assert_eq!(registered(&factory, request).await.status, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_certificate_without_ca_certificate_pem_and_status() {
    for (status, wanted) in [
        (None, CertificateStatus::Inactive),
        (Some(CertificateStatus::Active), CertificateStatus::Active),
        (Some(CertificateStatus::Revoked), CertificateStatus::Revoked),
    ] {
        let factory = factory(500.0).await;
        let certificate_pem = Ca::new("Unregistered CA").leaf("device");
        let found = registered(&factory, RegisterCertificateWithoutCa { certificate_pem, status }).await;
        assert_eq!((found.status, found.ca, found.mode), (wanted, None, CertificateMode::SniOnly));
        let (code, _, known) = only_row(&factory, "RegisterCertificateWithoutCA").await;
        assert_eq!((code.as_str(), known), ("ok", Some(wanted.to_string())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_ca_certificate_and_certificate_mode() {
    let factory = factory(500.0).await;
    let ca = Ca::new("CA");
    let found = registered_ca(&factory, sni_only(&ca)).await;
    assert_eq!((found.id, found.mode), (ca.certificate().id(), CertificateMode::SniOnly));
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_verification_certificate() {
    for certificate_mode in [None, Some(CertificateMode::Default)] {
        let factory = factory(500.0).await;
        let ca = Ca::with_key(KeyKind::P384, "CA");
        let request = RegisterCaCertificate { certificate_mode, ..proven(&factory, &ca) };
        assert_eq!(registered_ca(&factory, request).await.mode, CertificateMode::Default);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_set_as_active() {
    for (set_as_active, known) in [(true, "ACTIVE"), (false, "INACTIVE")] {
        let factory = factory(500.0).await;
        let request = RegisterCaCertificate { set_as_active, ..sni_only(&Ca::new("CA")) };
        assert_eq!(registered_ca(&factory, request).await.is_active, set_as_active);
        assert_eq!(only_row(&factory, "RegisterCACertificate").await.2.as_deref(), Some(known));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_allow_auto_registration() {
    for allow_auto_registration in [true, false] {
        let factory = factory(500.0).await;
        let request = RegisterCaCertificate { allow_auto_registration, ..sni_only(&Ca::new("CA")) };
        assert_eq!(registered_ca(&factory, request).await.auto_registration, allow_auto_registration);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_registration_config_template_body_and_role_arn() {
    let factory = factory(500.0).await;
    let config = RegistrationConfig {
        template_body: Some("{\"Resources\":{}}".to_owned()),
        role_arn: Some("arn:aws:iam::000000000000:role/provisioning".to_owned()),
        template_name: None,
    };
    let request = RegisterCaCertificate { registration_config: Some(config.clone()), ..sni_only(&Ca::new("CA")) };
    let found = registered_ca(&factory, request).await.registration_config.unwrap();
    assert_eq!((found.template_body, found.role_arn), (config.template_body, config.role_arn));
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_registration_config_template_name() {
    let factory = Factory::with(SandboxSettings { templates: vec!["plant".to_owned()], ..count_only() }, 500.0).await;
    let config = RegistrationConfig { template_name: Some("plant".to_owned()), ..RegistrationConfig::default() };
    let request = RegisterCaCertificate { registration_config: Some(config), ..sni_only(&Ca::new("CA")) };
    let found = registered_ca(&factory, request).await.registration_config.unwrap();
    assert_eq!(found.template_name.as_deref(), Some("plant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn register_ca_certificate_tags() {
    let factory = factory(500.0).await;
    let tag = |key: &str, value: Option<&str>| Tag { key: key.to_owned(), value: value.map(str::to_owned) };
    let tags = vec![tag("plant", Some("3")), tag("empty", Some("")), tag("bare", None)];
    let request = RegisterCaCertificate { tags, ..sni_only(&Ca::new("CA")) };
    let wanted = [("plant", "3"), ("empty", ""), ("bare", "")];
    let wanted: BTreeMap<_, _> = wanted.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(registered_ca(&factory, request).await.tags, wanted);
}
