//! AWS IoT: registering a CA.

use aws_sdk_iot::error::SdkError;
use aws_sdk_iot::operation::register_ca_certificate::RegisterCACertificateError;
use aws_sdk_iot::types::{AutoRegistrationStatus, CaCertificateStatus, CertificateMode};
use muster_sandbox::specimen::{Ca, KeyKind};
use muster_sandbox::{ApiOperation, Effect, Fault};

use super::{Bench, refusal};

#[tokio::test]
async fn the_registration_code_is_stable() {
    let bench = Bench::unlimited().await;
    let code = || async { bench.iot.get_registration_code().send().await.unwrap().registration_code.unwrap() };
    assert_eq!((code().await.len(), code().await), (64, code().await));
    assert_eq!(code().await, bench.sandbox.registration_code());
}

#[tokio::test]
async fn a_ca_with_proof_of_its_key_can_have_leaves() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let proof = ca.verification(&bench.sandbox.registration_code());
    let request = bench.register_ca(&ca).verification_certificate(proof).set_as_active(true);
    let id = request.send().await.unwrap().certificate_id.unwrap();
    assert_eq!(id, ca.certificate().id().to_string());
    bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await.unwrap();

    let described = bench.iot.describe_ca_certificate().certificate_id(&id).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CaCertificateStatus::Active));
    assert_eq!(described.certificate_mode(), Some(&CertificateMode::Default));
    assert_eq!(described.auto_registration_status(), Some(&AutoRegistrationStatus::Disable));
    assert_eq!(described.certificate_pem(), Some(ca.pem().as_str()));
    assert_eq!((described.customer_version(), described.owned_by()), (Some(1), Some("000000000000")));
    assert_eq!(described.last_modified_date(), described.creation_date());
    assert!(described.creation_date().is_some() && described.generation_id().is_some());
    let validity = described.validity().unwrap();
    assert_eq!(validity.not_before().unwrap().secs(), ca.certificate().not_before().unix_timestamp());
    assert_eq!(validity.not_after().unwrap().secs(), ca.certificate().not_after().unix_timestamp());
}

#[tokio::test]
async fn the_ledger_shows_a_registered_ca() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let ledger = bench.sandbox.ledger();
    assert_eq!((ledger.authority(ca.certificate().id()), ledger.n_authorities()), (None, 0));
    bench.register_sni_only(&ca).allow_auto_registration(true).send().await.unwrap();
    let authority = ledger.authority(ca.certificate().id()).unwrap();
    assert_eq!((authority.id, ledger.n_authorities()), (ca.certificate().id(), 1));
    assert_eq!((authority.is_active, authority.mode), (false, muster_core::job::CertificateMode::SniOnly));
    assert!(authority.auto_registration && authority.tags.is_empty() && authority.registration_config.is_none());
}

#[tokio::test]
async fn an_inactive_ca_accepts_no_leaves() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    bench.register_sni_only(&ca).send().await.unwrap();
    let refused = bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await.unwrap_err();
    assert!(refused.into_service_error().is_certificate_state_exception());
}

#[tokio::test]
async fn leaves_inherit_the_mode_of_their_ca() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    bench.register_sni_only(&ca).set_as_active(true).send().await.unwrap();
    let pem = ca.leaf("device");
    let id = bench.iot.register_certificate().certificate_pem(pem).send().await.unwrap().certificate_id.unwrap();
    let described = bench.iot.describe_certificate().certificate_id(id).send().await.unwrap();
    assert_eq!(described.certificate_description().unwrap().certificate_mode(), Some(&CertificateMode::SniOnly));
}

#[tokio::test]
async fn the_proof_must_match_the_mode_the_key_and_the_code() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let code = bench.sandbox.registration_code();
    assert_eq!(refusal(bench.register_ca(&ca).send().await), "InvalidRequestException", "no proof");
    let unwanted = bench.register_sni_only(&ca).verification_certificate(ca.verification(&code));
    assert_eq!(refusal(unwanted.send().await), "InvalidRequestException", "an unexpected proof");
    for (proof, wanted) in [
        (ca.impostor(KeyKind::P256).verification(&code), "CertificateValidationException"),
        (ca.verification(&"0".repeat(64)), "RegistrationCodeValidationException"),
        ("no certificate".to_owned(), "CertificateValidationException"),
        (String::new(), "InvalidRequestException"),
    ] {
        assert_eq!(refusal(bench.register_ca(&ca).verification_certificate(proof).send().await), wanted);
    }
    assert_eq!(bench.sandbox.ledger().n_authorities(), 0);
}

#[tokio::test]
async fn an_invalid_ca_is_refused() {
    let bench = Bench::unlimited().await;
    let register = |pem: String| {
        let request = bench.iot.register_ca_certificate().ca_certificate(pem);
        request.certificate_mode(CertificateMode::SniOnly).send()
    };
    let leaf = Ca::new("Plant CA").leaf("device");
    for pem in [leaf, Ca::expired("Old CA").pem(), "no certificate".to_owned()] {
        assert_eq!(refusal(register(pem).await), "CertificateValidationException");
    }
    assert_eq!(refusal(register(String::new()).await), "InvalidRequestException");
    assert_eq!(refusal(register(" ".repeat(65_537)).await), "InvalidRequestException");
}

#[tokio::test]
async fn a_second_registration_is_a_conflict_that_names_the_first() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let first = bench.register_sni_only(&ca).send().await.unwrap();
    let Err(SdkError::ServiceError(again)) = bench.register_sni_only(&ca).send().await else {
        panic!("accepted twice")
    };
    assert_eq!(again.raw().status().as_u16(), 409);
    let RegisterCACertificateError::ResourceAlreadyExistsException(again) = again.into_err() else {
        panic!("another error")
    };
    assert_eq!((again.resource_id(), again.resource_arn()), (first.certificate_id(), first.certificate_arn()));
}

#[tokio::test]
async fn at_most_ten_registered_cas_share_a_name() {
    let bench = Bench::unlimited().await;
    let first = Ca::new("Plant CA");
    bench.register_sni_only(&first).send().await.unwrap();
    for _ in 1..10 {
        bench.register_sni_only(&Ca::new("Plant CA")).send().await.unwrap();
    }
    let Err(SdkError::ServiceError(refused)) = bench.register_sni_only(&Ca::new("Plant CA")).send().await else {
        panic!("an eleventh was accepted")
    };
    assert_eq!(refused.raw().status().as_u16(), 410);
    assert!(refused.err().is_limit_exceeded_exception());
    bench.register_sni_only(&Ca::new("Another CA")).send().await.unwrap();
    let id = first.certificate().id().to_string();
    bench.iot.delete_ca_certificate().certificate_id(id).send().await.unwrap();
    bench.register_sni_only(&Ca::new("Plant CA")).send().await.unwrap();
}

#[tokio::test]
async fn a_wrong_id_is_in_the_answer_only() {
    let bench = Bench::unlimited().await;
    bench.sandbox.faults().set(Fault::new(ApiOperation::RegisterCACertificate, Effect::WrongId)).unwrap();
    let ca = Ca::new("Plant CA");
    let registered = bench.register_sni_only(&ca).send().await.unwrap();
    let id = ca.certificate().id();
    assert_ne!(registered.certificate_id(), Some(id.to_string().as_str()));
    assert!(registered.certificate_arn().unwrap().ends_with(registered.certificate_id().unwrap()));
    assert!(bench.sandbox.ledger().authority(id).is_some());
    assert_eq!(bench.sandbox.ledger().calls().pop().unwrap().certificate_id, Some(id));
}
