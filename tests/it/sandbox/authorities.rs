//! AWS IoT: registering a CA.

use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_iot::operation::register_ca_certificate::builders::RegisterCACertificateFluentBuilder;
use aws_sdk_iot::types::{CaCertificateStatus, CertificateMode, RegistrationConfig};
use muster::sandbox::{Limiting, Settings};
use muster::specimen::{Ca, KeyKind};

use super::Bench;

async fn bench() -> Bench {
    Bench::start(Settings { limiting: Limiting::CountOnly, ..Settings::default() }).await
}

impl Bench {
    async fn registration_code(&self) -> String {
        self.iot.get_registration_code().send().await.unwrap().registration_code.unwrap()
    }

    fn register_ca(&self, ca: &Ca) -> RegisterCACertificateFluentBuilder {
        self.iot.register_ca_certificate().ca_certificate(ca.pem())
    }

    fn register_sni_only(&self, ca: &Ca) -> RegisterCACertificateFluentBuilder {
        self.register_ca(ca).certificate_mode(CertificateMode::SniOnly)
    }
}

/// The error code of a registration.
async fn refusal(request: RegisterCACertificateFluentBuilder) -> String {
    request.send().await.expect_err("a registration").code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_registration_code_is_stable() {
    let bench = bench().await;
    let code = bench.registration_code().await;
    assert_eq!((code.len(), &code), (64, &bench.registration_code().await));
}

#[tokio::test]
async fn a_ca_with_proof_of_its_key_can_have_leaves() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    let proof = ca.verification(&bench.registration_code().await);
    let request = bench.register_ca(&ca).verification_certificate(proof).set_as_active(true);
    let id = request.send().await.unwrap().certificate_id.unwrap();
    assert_eq!(id, ca.certificate().id().to_string());
    bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await.unwrap();

    let described = bench.iot.describe_ca_certificate().certificate_id(&id).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CaCertificateStatus::Active));
    assert_eq!(described.certificate_mode(), Some(&CertificateMode::Default));
    assert_eq!(described.certificate_pem(), Some(ca.pem().as_str()));
    let not_after = described.validity().unwrap().not_after().unwrap();
    assert_eq!(not_after.secs(), ca.certificate().not_after().unix_timestamp());
}

#[tokio::test]
async fn a_ca_that_is_not_set_as_active_has_no_leaves() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    bench.register_sni_only(&ca).send().await.unwrap();
    let refused = bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await.unwrap_err();
    assert!(refused.into_service_error().is_certificate_state_exception());
}

#[tokio::test]
async fn leaves_inherit_the_mode_of_their_ca() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    bench.register_sni_only(&ca).set_as_active(true).send().await.unwrap();
    let pem = ca.leaf("device");
    let id = bench.iot.register_certificate().certificate_pem(pem).send().await.unwrap().certificate_id.unwrap();
    let described = bench.iot.describe_certificate().certificate_id(id).send().await.unwrap();
    assert_eq!(described.certificate_description().unwrap().certificate_mode(), Some(&CertificateMode::SniOnly));
}

#[tokio::test]
async fn the_proof_must_fit_the_mode_the_key_and_the_code() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    let code = bench.registration_code().await;
    assert_eq!(refusal(bench.register_ca(&ca)).await, "InvalidRequestException", "no proof");
    let with = |proof| bench.register_ca(&ca).verification_certificate(proof);
    let sni_only = with(ca.verification(&code)).certificate_mode(CertificateMode::SniOnly);
    assert_eq!(refusal(sni_only).await, "InvalidRequestException", "a proof that is not wanted");
    let forged = ca.impostor(KeyKind::P256).verification(&code);
    assert_eq!(refusal(with(forged)).await, "CertificateValidationException");
    let other = ca.verification(&"0".repeat(64));
    assert_eq!(refusal(with(other)).await, "RegistrationCodeValidationException");
}

#[tokio::test]
async fn what_is_no_good_ca_is_refused() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    let leaf = bench.iot.register_ca_certificate().ca_certificate(ca.leaf("device"));
    assert_eq!(refusal(leaf.certificate_mode(CertificateMode::SniOnly)).await, "CertificateValidationException");
    let expired = bench.register_sni_only(&Ca::expired("Old CA"));
    assert_eq!(refusal(expired).await, "CertificateValidationException");
    let template = RegistrationConfig::builder().template_name("nowhere").build();
    let request = bench.register_sni_only(&ca).registration_config(template);
    assert_eq!(refusal(request).await, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_ca_is_registered_once_and_ten_share_a_name() {
    let bench = bench().await;
    let first = Ca::new("Plant CA");
    bench.register_sni_only(&first).send().await.unwrap();
    assert_eq!(refusal(bench.register_sni_only(&first)).await, "ResourceAlreadyExistsException");
    for _ in 1..10 {
        bench.register_sni_only(&Ca::new("Plant CA")).send().await.unwrap();
    }
    assert_eq!(refusal(bench.register_sni_only(&Ca::new("Plant CA"))).await, "LimitExceededException");
    bench.register_sni_only(&Ca::new("Another CA")).send().await.unwrap();
}
