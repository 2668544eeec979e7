//! AWS IoT: what RegisterCertificate accepts and refuses, lists, quotas.

use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::register_certificate::builders::RegisterCertificateFluentBuilder;
use aws_sdk_iot::types::CertificateStatus;
use muster_sandbox::specimen::{Ca, Flaw, KeyKind};
use muster_sandbox::{ApiOperation, Limiting, Rates, SandboxSettings};

use super::{Bench, id_of};

/// A sandbox with one registered CA.
struct Plant {
    bench: Bench,
    ca: Ca,
}

impl Plant {
    async fn start(settings: SandboxSettings) -> Self {
        let bench = Bench::start(settings).await;
        let ca = Ca::new("Plant CA");
        bench.sandbox.plant_ca(&ca.pem()).unwrap();
        Self { bench, ca }
    }

    /// Starts a sandbox that never throttles.
    async fn unlimited() -> Self {
        Self::start(SandboxSettings { limiting: Limiting::CountOnly, ..SandboxSettings::default() }).await
    }

    fn register(&self, pem: &str) -> RegisterCertificateFluentBuilder {
        self.bench.iot.register_certificate().certificate_pem(pem)
    }

    /// Returns the error code of a registration.
    async fn refusal(&self, request: RegisterCertificateFluentBuilder) -> String {
        request.send().await.expect_err("a registration").code().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn a_registered_certificate_has_the_digest_of_its_der_as_id() {
    let plant = Plant::unlimited().await;
    let pem = plant.ca.leaf("device 7");
    let id = id_of(&pem).to_string();
    let answer = plant.register(&pem).status(CertificateStatus::Active).send().await.unwrap();
    assert_eq!(answer.certificate_id(), Some(id.as_str()));
    assert_eq!(answer.certificate_arn(), Some(format!("arn:aws:iot:us-east-1:000000000000:cert/{id}").as_str()));

    let described = plant.bench.iot.describe_certificate().certificate_id(&id).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CertificateStatus::Active));
    assert_eq!(described.ca_certificate_id(), Some(plant.ca.certificate().id().to_string().as_str()));
    assert_eq!(described.certificate_pem(), Some(pem.as_str()));
}

#[tokio::test]
async fn a_second_registration_is_a_conflict_that_names_the_first() {
    use aws_sdk_iot::operation::register_certificate::RegisterCertificateError as Error;
    let plant = Plant::unlimited().await;
    let pem = plant.ca.leaf("device");
    plant.register(&pem).send().await.unwrap();
    let Err(SdkError::ServiceError(again)) = plant.register(&pem).send().await else { panic!("it was accepted twice") };
    assert_eq!(again.raw().status().as_u16(), 409);
    let Error::ResourceAlreadyExistsException(again) = again.into_err() else { panic!("another error") };
    assert_eq!(again.resource_id(), Some(id_of(&pem).to_string().as_str()));
    assert_eq!(plant.bench.sandbox.ledger().n_certificates(), 1);
}

#[tokio::test]
async fn a_status_wins_over_set_as_active() {
    let plant = Plant::unlimited().await;
    let ledger = plant.bench.sandbox.ledger();
    #[expect(deprecated, reason = "older producers send it")]
    for (status, set_as_active, wanted) in [
        (None, None, "INACTIVE"),
        (None, Some(true), "ACTIVE"),
        (Some(CertificateStatus::Revoked), Some(true), "REVOKED"),
    ] {
        let pem = plant.ca.leaf("device");
        plant.register(&pem).set_status(status).set_set_as_active(set_as_active).send().await.unwrap();
        assert_eq!(ledger.certificate(id_of(&pem)).unwrap().status.to_string(), wanted);
    }
    let pending = plant.register(&plant.ca.leaf("device")).status(CertificateStatus::PendingActivation);
    assert_eq!(plant.refusal(pending).await, "CertificateStateException");
}

#[tokio::test]
async fn flawed_certificates_are_refused_for_the_reason_aws_gives() {
    let plant = Plant::unlimited().await;
    for (flaw, code) in [
        (Flaw::NotACertificate, "CertificateValidationException"),
        (Flaw::TooLong, "InvalidRequestException"),
        (Flaw::Request, "CertificateValidationException"),
        (Flaw::CutOff, "CertificateValidationException"),
        (Flaw::Expired, "CertificateValidationException"),
        (Flaw::WeakKey, "CertificateValidationException"),
        (Flaw::Ed25519Key, "CertificateValidationException"),
        (Flaw::Ed25519Signature, "CertificateValidationException"),
        (Flaw::WronglySigned, "CertificateValidationException"),
        (Flaw::Foreign, "CertificateStateException"),
    ] {
        let pem = plant.ca.flawed(flaw, "device");
        assert_eq!(plant.refusal(plant.register(&pem)).await, code, "{flaw}");
    }
    assert_eq!(plant.refusal(plant.register("")).await, "InvalidRequestException");
    assert_eq!(plant.refusal(plant.bench.iot.register_certificate()).await, "InvalidRequestException");
    let foreign = plant.register(&plant.ca.flawed(Flaw::Foreign, "device")).ca_certificate_pem(plant.ca.pem());
    assert_eq!(plant.refusal(foreign).await, "CertificateValidationException", "issuer and subject differ");
    assert_eq!(plant.bench.sandbox.ledger().n_certificates(), 0);
}

#[tokio::test]
async fn every_curve_and_long_rsa_keys_are_accepted() {
    let plant = Plant::unlimited().await;
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048] {
        let ca = Ca::with_key(kind, &format!("{kind} CA"));
        plant.bench.sandbox.plant_ca(&ca.pem()).unwrap();
        plant.register(&ca.leaf_with_key(kind, "device")).send().await.unwrap();
    }
    plant.register(&plant.ca.not_yet_valid_leaf("device")).send().await.unwrap();
}

#[tokio::test]
async fn the_issuer_must_be_registered_and_active() {
    let plant = Plant::unlimited().await;
    let stranger = Ca::new("Unknown CA");
    let pem = stranger.leaf("device");
    assert_eq!(plant.refusal(plant.register(&pem)).await, "CertificateStateException");
    let named = plant.register(&pem).ca_certificate_pem(stranger.pem());
    assert_eq!(plant.refusal(named).await, "CertificateStateException");

    let id = plant.bench.sandbox.plant_ca(&stranger.pem()).unwrap();
    assert!(plant.bench.sandbox.set_ca_active(id, false));
    assert_eq!(plant.refusal(plant.register(&pem)).await, "CertificateStateException");
    assert!(plant.bench.sandbox.set_ca_active(id, true));
    plant.register(&pem).send().await.unwrap();
    assert!(plant.bench.sandbox.set_ca_active(id, false));
    assert_eq!(plant.refusal(plant.register(&pem)).await, "CertificateStateException", "the duplicate is checked last");
}

#[tokio::test]
async fn two_cas_of_one_name_need_the_ca_in_the_call() {
    let plant = Plant::unlimited().await;
    let twin = plant.ca.impostor(KeyKind::P256);
    plant.bench.sandbox.plant_ca(&twin.pem()).unwrap();
    let pem = twin.leaf("device");
    assert_eq!(plant.refusal(plant.register(&pem)).await, "CertificateConflictException");
    let wrong = plant.register(&pem).ca_certificate_pem(plant.ca.pem());
    assert_eq!(plant.refusal(wrong).await, "CertificateValidationException");
    plant.register(&pem).ca_certificate_pem(twin.pem()).send().await.unwrap();
}

#[tokio::test]
async fn an_unknown_certificate_is_not_described() {
    let plant = Plant::unlimited().await;
    let describe = |id: String| plant.bench.iot.describe_certificate().certificate_id(id).send();
    assert!(describe("0".repeat(64)).await.unwrap_err().into_service_error().is_resource_not_found_exception());
    assert!(describe("x".repeat(64)).await.unwrap_err().into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn a_call_above_the_quota_is_throttled_and_logged() {
    let settings = SandboxSettings { rates: Rates::all(0.001), burst: Some(2.0), ..SandboxSettings::default() };
    let plant = Plant::start(settings).await;
    let pems: Vec<String> = (0..3).map(|_| plant.ca.leaf("device")).collect();
    let mut codes = Vec::new();
    for pem in &pems {
        let answer = plant.register(pem).send().await;
        codes.push(answer.err().and_then(|error| error.code().map(str::to_owned)));
    }
    assert_eq!(codes, [None, None, Some("ThrottlingException".to_owned())]);

    let ledger = plant.bench.sandbox.ledger();
    assert_eq!((ledger.n_certificates(), ledger.throttled(ApiOperation::RegisterCertificate)), (2, 1));
    let calls = ledger.calls();
    let answers: Vec<_> = calls.iter().map(|call| (call.answer.as_deref(), call.executed)).collect();
    assert_eq!(answers, [(Some("ok"), true), (Some("ok"), true), (Some("ThrottlingException"), false)]);
    let ids: Vec<_> = calls.iter().map(|call| call.certificate_id).collect();
    assert_eq!(ids, pems.iter().map(|pem| Some(id_of(pem))).collect::<Vec<_>>());
    assert!(calls.is_sorted_by_key(|call| call.arrived));
}

#[tokio::test]
async fn a_raised_quota_lets_more_calls_through() {
    let settings = SandboxSettings { rates: Rates::all(0.001), burst: Some(1.0), ..SandboxSettings::default() };
    let plant = Plant::start(settings).await;
    plant.register(&plant.ca.leaf("device")).send().await.unwrap();
    let pem = plant.ca.leaf("device");
    assert_eq!(plant.refusal(plant.register(&pem)).await, "ThrottlingException");
    plant.bench.sandbox.set_rate(ApiOperation::RegisterCertificate, 1e9);
    plant.register(&pem).send().await.unwrap();
}

#[tokio::test]
async fn the_pem_need_not_be_kept() {
    let plant = Plant::start(SandboxSettings { keep_pem: false, ..SandboxSettings::default() }).await;
    let pem = plant.ca.leaf("device");
    let id = plant.register(&pem).send().await.unwrap().certificate_id.unwrap();
    let described = plant.bench.iot.describe_certificate().certificate_id(id).send().await.unwrap();
    assert_eq!(described.certificate_description().unwrap().certificate_pem(), None);
}
