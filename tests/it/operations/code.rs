//! The registration code that a CA's proof must name.

use std::collections::BTreeMap;

use muster_core::job::RegisterCaCertificate;
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};

use super::{factory, n_calls, proven, send, sni_only};
use crate::factory::Factory;

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_code_is_requested_once() {
    let factory = factory(500.0).await;
    let cas: Vec<_> = (0..30).map(|i| Ca::new(&format!("CA {i}"))).collect();
    send(&factory, cas.iter().map(|ca| Factory::job_of(proven(&factory, ca)))).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 30)]));
    assert_eq!(n_calls(&factory, ApiOperation::GetRegistrationCode), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_without_a_proof_needs_no_registration_code() {
    let factory = factory(500.0).await;
    send(&factory, [Factory::job_of(sni_only(&Ca::new("CA")))]).await;
    factory.drain().await;
    assert_eq!(n_calls(&factory, ApiOperation::GetRegistrationCode), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_with_the_wrong_code_costs_no_registration_call() {
    let factory = factory(500.0).await;
    let ca = Ca::new("CA");
    let verification_certificate = Some(ca.verification(&"0".repeat(64)));
    let request = RegisterCaCertificate { verification_certificate, ..proven(&factory, &ca) };
    send(&factory, [Factory::job_of(request)]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::RegistrationCodeMismatch, 1)]));
    assert_eq!(n_calls(&factory, ApiOperation::RegisterCACertificate), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_judges_the_proof_if_the_code_is_unavailable() {
    let factory = factory(500.0).await;
    let denied =
        Effect::Error { status: 403, code: "AccessDeniedException".into(), message: String::new(), executed: false };
    factory.sandbox.faults().set(Fault::new(ApiOperation::GetRegistrationCode, denied)).unwrap();
    let (good, bad) = (Ca::new("good"), Ca::new("bad"));
    let verification_certificate = Some(bad.verification(&"0".repeat(64)));
    let requests =
        [proven(&factory, &good), RegisterCaCertificate { verification_certificate, ..proven(&factory, &bad) }];
    send(&factory, requests.map(Factory::job_of)).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1), (Code::RegistrationCode, 1)]));
    assert_eq!(n_calls(&factory, ApiOperation::GetRegistrationCode), 1, "a denial is not asked again at once");
}
