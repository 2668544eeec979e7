//! The three operations as jobs: every parameter, every error, and all of them from one queue.

mod code;
mod exceptions;
mod mixed;
mod namesakes;
mod parameters;
mod table;

use std::time::Duration;

use muster_core::job::{
    CertificateMode, Job, RegisterCaCertificate, RegisterCertificate, RegisterCertificateWithoutCa,
};
use muster_core::rate::Rate;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::Ca;

use crate::factory::Factory;

/// Creates a factory with this rate for every operation, whose workers wait only briefly between attempts.
async fn factory(rate: f64) -> Factory {
    let mut factory = Factory::new(rate).await;
    let rates = &mut factory.config.targets.get_mut("default").unwrap().rates;
    rates.register_certificate_without_ca = Rate::new(rate).unwrap();
    rates.register_ca_certificate = Rate::new(rate).unwrap();
    let short = |ms| Duration::from_millis(ms).into();
    let retry = &mut factory.config.retry;
    (retry.first_wait, retry.max_wait, retry.limited_first_wait) = (short(5), short(40), short(5));
    factory
}

/// Returns a job for a device that names no CA.
fn device(certificate_pem: String) -> Job {
    Factory::job_of(RegisterCertificate { certificate_pem, ..RegisterCertificate::default() })
}

/// Returns a job for a device without a CA.
fn device_without_ca(certificate_pem: String) -> Job {
    Factory::job_of(RegisterCertificateWithoutCa { certificate_pem, status: None })
}

/// Returns the request for a CA that needs no proof and becomes active at once.
fn sni_only(ca: &Ca) -> RegisterCaCertificate {
    RegisterCaCertificate {
        ca_certificate: ca.pem(),
        certificate_mode: Some(CertificateMode::SniOnly),
        set_as_active: true,
        ..RegisterCaCertificate::default()
    }
}

/// Returns the request for a CA with the proof that AWS requires.
fn proven(factory: &Factory, ca: &Ca) -> RegisterCaCertificate {
    RegisterCaCertificate {
        ca_certificate: ca.pem(),
        verification_certificate: Some(ca.verification(&factory.sandbox.registration_code())),
        set_as_active: true,
        ..RegisterCaCertificate::default()
    }
}

/// Sends jobs in this order.
async fn send(factory: &Factory, jobs: impl IntoIterator<Item = Job>) {
    let bodies: Vec<_> = jobs.into_iter().map(|job| job.to_body()).collect();
    factory.send(&bodies).await;
}

/// Returns how many calls of an operation the sandbox saw.
fn n_calls(factory: &Factory, operation: ApiOperation) -> usize {
    factory.sandbox.ledger().summary(operation).calls
}

/// Returns code, detail and status at AWS of the only row of an operation.
async fn only_row(factory: &Factory, operation: &str) -> (String, String, Option<String>) {
    sqlx::query_as("select code, coalesce(detail, ''), known_status from registrations where operation = $1")
        .bind(operation)
        .fetch_one(&factory.database.pool)
        .await
        .unwrap()
}
