//! Every exception of the three calls, and the resulting outcome.

use muster_core::job::Job;
use muster_core::outcome::{Code, Status};
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};

use super::{device, device_without_ca, factory, n_calls, only_row, send, sni_only};
use crate::factory::Factory;

const DEVICE: ApiOperation = ApiOperation::RegisterCertificate;
const WITHOUT_CA: ApiOperation = ApiOperation::RegisterCertificateWithoutCA;
const CA: ApiOperation = ApiOperation::RegisterCACertificate;
const ALL: [ApiOperation; 3] = [DEVICE, WITHOUT_CA, CA];

/// Returns a valid job for an operation.
fn valid_job(factory: &Factory, operation: ApiOperation) -> Job {
    match operation {
        ApiOperation::RegisterCertificate => device(factory.ca.leaf("device")),
        ApiOperation::RegisterCertificateWithoutCA => device_without_ca(factory.ca.leaf("device")),
        _ => Factory::job_of(sni_only(&Ca::new("CA"))),
    }
}

/// Returns the outcome of a valid job whose first calls meet an effect.
async fn outcome_after(operation: ApiOperation, effect: Effect, calls: u64) -> (String, String) {
    let factory = factory(500.0).await;
    factory.sandbox.faults().set(Fault::new(operation, effect).calls(calls)).unwrap();
    send(&factory, [valid_job(&factory, operation)]).await;
    factory.drain().await;
    assert_eq!(factory.counts("jobs").deleted, 1);
    let (code, detail, _) = only_row(&factory, <&str>::from(operation)).await;
    (code, detail)
}

fn error(code: &str, status: u16) -> Effect {
    Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false }
}

/// Asserts that a valid job gets this code after one call if AWS answers with an exception.
async fn assert_refused(operations: &[ApiOperation], exception: &str, status: u16, code: Code) {
    assert_eq!(code.status(), Status::Refused);
    for &operation in operations {
        let (found, detail) = outcome_after(operation, error(exception, status), 100).await;
        assert_eq!(found, code.as_str(), "{operation}");
        assert_eq!(detail.split(';').next(), Some(format!("{exception}: as ordered").as_str()), "{operation}");
    }
}

/// Asserts that a valid job is registered although its first two calls were answered with an exception.
async fn assert_retried(operations: &[ApiOperation], exception: &str, status: u16) {
    for &operation in operations {
        let (found, _) = outcome_after(operation, error(exception, status), 2).await;
        assert_eq!(found, "ok", "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_already_exists_is_a_success() {
    for operation in ALL {
        let factory = factory(500.0).await;
        let job = valid_job(&factory, operation);
        send(&factory, [job.clone()]).await;
        factory.drain().await;
        // As if another client had registered it.
        sqlx::query("truncate registrations, batch_counters").execute(&factory.database.pool).await.unwrap();
        send(&factory, [job]).await;
        factory.drain().await;
        let (code, detail, known) = only_row(&factory, <&str>::from(operation)).await;
        assert_eq!((code.as_str(), known), ("exists", None), "{operation}");
        assert!(detail.starts_with("its status is unknown"), "{detail}");
        assert_eq!(n_calls(&factory, operation), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_validation_is_refused() {
    assert_refused(&ALL, "CertificateValidationException", 400, Code::CertificateValidation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_state_is_refused_if_no_issuer_is_needed() {
    assert_refused(&[WITHOUT_CA, CA], "CertificateStateException", 406, Code::CertificateState).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_state_parks_a_device_until_its_ca_is_active() {
    let factory = factory(500.0).await;
    let ca = Ca::new("Late CA");
    let id = factory.sandbox.plant_ca(&ca.pem()).unwrap();
    assert!(factory.sandbox.set_ca_active(id, false));
    send(&factory, [device(ca.leaf("device"))]).await;
    let serving = factory.serve().await;
    let is_parked = async |factory: &Factory| factory.outcomes().await.contains_key(&Code::IssuerInactive);
    factory.until("it is parked", is_parked).await;
    assert!(factory.sandbox.set_ca_active(id, true));
    factory.until("it is registered", async |factory| factory.outcomes().await.contains_key(&Code::Ok)).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_conflict_is_refused_if_the_issuer_is_unknown() {
    assert_refused(&[WITHOUT_CA, CA], "CertificateConflictException", 409, Code::CertificateConflict).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_request_is_refused() {
    assert_refused(&ALL, "InvalidRequestException", 400, Code::InvalidRequest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_code_validation_is_refused() {
    assert_refused(&[CA], "RegistrationCodeValidationException", 400, Code::RegistrationCode).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_not_found_is_refused() {
    assert_refused(&[CA], "ResourceNotFoundException", 404, Code::ResourceNotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_exceeded_is_exhausted_after_five_calls() {
    for operation in ALL {
        let (code, _) = outcome_after(operation, error("LimitExceededException", 410), 100).await;
        assert_eq!(code, "limit_exceeded", "{operation}");
        let (code, _) = outcome_after(operation, error("LimitExceededException", 410), 4).await;
        assert_eq!(code, "ok", "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_retried() {
    assert_retried(&ALL, "ThrottlingException", 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_unavailable_is_retried() {
    assert_retried(&ALL, "ServiceUnavailableException", 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_failure_is_retried() {
    assert_retried(&ALL, "InternalFailureException", 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorized_is_retried() {
    assert_retried(&ALL, "UnauthorizedException", 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_id_is_an_id_mismatch() {
    for operation in ALL {
        let (code, detail) = outcome_after(operation, Effect::WrongId, 1).await;
        assert_eq!(code, "id_mismatch", "{operation}");
        assert!(detail.starts_with("AWS answered with id "), "{detail}");
    }
}
