//! AWS IoT: registering, listing, quotas.

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_iot::types::CertificateStatus;
use muster::sandbox::{Limiting, Operation, Rates, Settings};

use super::Bench;

/// A self-signed certificate: its PEM and its id.
fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["device".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), hex::encode(digest(&SHA256, certificate.der())))
}

#[tokio::test]
async fn a_registered_certificate_has_the_digest_of_its_der_as_id() {
    let bench = Bench::start(Settings::default()).await;
    let (pem, id) = certificate();
    let answer = bench.iot.register_certificate().certificate_pem(&pem).status(CertificateStatus::Active).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.certificate_id(), Some(id.as_str()));
    assert_eq!(answer.certificate_arn(), Some(format!("arn:aws:iot:us-east-1:000000000000:cert/{id}").as_str()));

    let described = bench.iot.describe_certificate().certificate_id(&id).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CertificateStatus::Active));
    let der = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    assert_eq!(described.certificate_pem().map(der), Some(der(&pem)));
}

#[tokio::test]
async fn a_second_registration_is_a_conflict_that_names_the_first() {
    let bench = Bench::start(Settings::default()).await;
    let (pem, id) = certificate();
    bench.iot.register_certificate().certificate_pem(&pem).send().await.unwrap();
    let again = bench.iot.register_certificate().certificate_pem(&pem).send().await.unwrap_err().into_service_error();
    assert!(again.is_resource_already_exists_exception(), "{again:?}");
    let aws_sdk_iot::operation::register_certificate::RegisterCertificateError::ResourceAlreadyExistsException(again) =
        again
    else {
        unreachable!()
    };
    assert_eq!(again.resource_id(), Some(id.as_str()));
    assert_eq!(bench.sandbox.ledger().n_certificates(), 1);
}

#[tokio::test]
async fn certificates_are_listed_page_by_page() {
    let bench = Bench::start(Settings { limiting: Limiting::CountOnly, ..Settings::default() }).await;
    let mut registered = Vec::new();
    for _ in 0..5 {
        let (pem, id) = certificate();
        bench.iot.register_certificate().certificate_pem(pem).send().await.unwrap();
        registered.push(id);
    }
    let mut listed = Vec::new();
    let mut marker = None;
    loop {
        let page =
            bench.iot.list_certificates().page_size(2).ascending_order(true).set_marker(marker).send().await.unwrap();
        listed.extend(page.certificates().iter().map(|certificate| certificate.certificate_id().unwrap().to_owned()));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(listed, registered);
}

#[tokio::test]
async fn the_registration_code_is_stable() {
    let bench = Bench::start(Settings::default()).await;
    let first = bench.iot.get_registration_code().send().await.unwrap();
    let second = bench.iot.get_registration_code().send().await.unwrap();
    assert_eq!(first.registration_code().map(str::len), Some(64));
    assert_eq!(first.registration_code(), second.registration_code());
}

#[tokio::test]
async fn a_call_above_the_quota_is_throttled_and_in_the_ledger() {
    let settings = Settings { rates: Rates::all(0.001), burst: Some(2.0), ..Settings::default() };
    let bench = Bench::start(settings).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = bench.iot.register_certificate().certificate_pem(certificate().0).send().await;
        codes.push(answer.err().and_then(|error| error.into_service_error().code().map(str::to_owned)));
    }
    assert_eq!(codes, [None, None, Some("ThrottlingException".to_owned())]);

    let ledger = bench.sandbox.ledger();
    assert_eq!((ledger.n_certificates(), ledger.throttled(Operation::RegisterCertificate)), (2, 1));
    let calls = ledger.calls();
    let answers: Vec<_> = calls.iter().map(|call| (call.answer.as_deref(), call.executed)).collect();
    assert_eq!(answers, [(Some("ok"), true), (Some("ok"), true), (Some("ThrottlingException"), false)]);
    assert!(calls.is_sorted_by_key(|call| call.arrived));
}
