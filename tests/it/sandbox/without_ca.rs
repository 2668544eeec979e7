//! AWS IoT: registering device certificates without a CA.

use aws_sdk_iot::error::SdkError;
use aws_sdk_iot::operation::register_certificate::RegisterCertificateError;
use aws_sdk_iot::operation::register_certificate_without_ca::RegisterCertificateWithoutCAError;
use aws_sdk_iot::operation::register_certificate_without_ca::builders::RegisterCertificateWithoutCAFluentBuilder;
use aws_sdk_iot::types::{CertificateMode, CertificateStatus};
use muster_sandbox::specimen::{Ca, Flaw};
use muster_sandbox::{ApiOperation, Effect, Fault};

use super::{Bench, id_of, refusal};

impl Bench {
    fn register_alone(&self, pem: &str) -> RegisterCertificateWithoutCAFluentBuilder {
        self.iot.register_certificate_without_ca().certificate_pem(pem)
    }
}

#[tokio::test]
async fn a_certificate_needs_no_ca_and_is_sni_only() {
    let bench = Bench::unlimited().await;
    let pem = Ca::new("a CA that nobody registered").leaf("device");
    let answer = bench.register_alone(&pem).status(CertificateStatus::Active).send().await.unwrap();
    let id = id_of(&pem);
    assert_eq!(answer.certificate_id(), Some(id.to_string().as_str()));
    assert_eq!(answer.certificate_arn(), Some(format!("arn:aws:iot:us-east-1:000000000000:cert/{id}").as_str()));

    let described = bench.iot.describe_certificate().certificate_id(id.to_string()).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CertificateStatus::Active));
    assert_eq!(described.certificate_mode(), Some(&CertificateMode::SniOnly));
    assert_eq!(described.ca_certificate_id(), None);
    let registered = bench.sandbox.ledger().certificate(id).unwrap();
    assert_eq!((registered.mode, registered.ca), (muster_core::job::CertificateMode::SniOnly, None));
}

#[tokio::test]
async fn the_status_is_inactive_by_default() {
    let bench = Bench::unlimited().await;
    for (status, wanted) in [(None, "INACTIVE"), (Some(CertificateStatus::Revoked), "REVOKED")] {
        let pem = Ca::new("CA").leaf("device");
        bench.register_alone(&pem).set_status(status).send().await.unwrap();
        assert_eq!(bench.sandbox.ledger().certificate(id_of(&pem)).unwrap().status.to_string(), wanted);
    }
}

#[tokio::test]
async fn a_certificate_is_registered_once_by_either_call() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    bench.sandbox.plant_ca(&ca.pem()).unwrap();
    let with_ca = |pem: &str| bench.iot.register_certificate().certificate_pem(pem).send();

    let pem = ca.leaf("device");
    let first = with_ca(&pem).await.unwrap();
    let Err(SdkError::ServiceError(again)) = bench.register_alone(&pem).send().await else { panic!("accepted twice") };
    assert_eq!(again.raw().status().as_u16(), 409);
    let RegisterCertificateWithoutCAError::ResourceAlreadyExistsException(again) = again.into_err() else {
        panic!("another error")
    };
    assert_eq!((again.resource_id(), again.resource_arn()), (first.certificate_id(), first.certificate_arn()));

    let pem = ca.leaf("device");
    let first = bench.register_alone(&pem).send().await.unwrap();
    let Err(SdkError::ServiceError(again)) = with_ca(&pem).await else { panic!("accepted twice") };
    let RegisterCertificateError::ResourceAlreadyExistsException(again) = again.into_err() else {
        panic!("another error")
    };
    assert_eq!((again.resource_id(), again.resource_arn()), (first.certificate_id(), first.certificate_arn()));
    assert_eq!(bench.sandbox.ledger().n_certificates(), 2);
}

#[tokio::test]
async fn an_invalid_certificate_is_refused() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("CA");
    for (flaw, code) in [
        (Flaw::NotACertificate, "CertificateValidationException"),
        (Flaw::TooLong, "InvalidRequestException"),
        (Flaw::CutOff, "CertificateValidationException"),
        (Flaw::Expired, "CertificateValidationException"),
        (Flaw::WeakKey, "CertificateValidationException"),
        (Flaw::Ed25519Key, "CertificateValidationException"),
        (Flaw::Ed25519Signature, "CertificateValidationException"),
    ] {
        let pem = ca.flawed(flaw, "device");
        assert_eq!(refusal(bench.register_alone(&pem).send().await), code, "{flaw}");
    }
    bench.register_alone(&ca.flawed(Flaw::WronglySigned, "device")).send().await.unwrap();
    let none = bench.iot.register_certificate_without_ca().send().await;
    assert_eq!(refusal(none), "InvalidRequestException");
}

#[tokio::test]
async fn a_pending_status_is_refused_before_the_pem_is_read() {
    let bench = Bench::unlimited().await;
    for status in
        [CertificateStatus::PendingActivation, CertificateStatus::PendingTransfer, CertificateStatus::RegisterInactive]
    {
        let Err(SdkError::ServiceError(error)) = bench.register_alone("x").status(status).send().await else {
            panic!("it was accepted")
        };
        assert_eq!(error.raw().status().as_u16(), 406);
        assert!(error.err().is_certificate_state_exception());
    }
}

#[tokio::test]
async fn its_calls_are_logged_and_faults_strike_them() {
    let bench = Bench::unlimited().await;
    let pem = Ca::new("CA").leaf("device");
    let wrong_id = Fault::new(ApiOperation::RegisterCertificateWithoutCA, Effect::WrongId);
    bench.sandbox.faults().set(wrong_id).unwrap();
    let registered_id = bench.register_alone(&pem).send().await.unwrap().certificate_id.unwrap();
    assert_ne!(registered_id, id_of(&pem).to_string());
    let call = bench.sandbox.ledger().calls().remove(0);
    assert_eq!(call.operation, ApiOperation::RegisterCertificateWithoutCA);
    assert_eq!(call.certificate_id, Some(id_of(&pem)));
    assert!(bench.sandbox.ledger().certificate(id_of(&pem)).is_some());
}
