//! The precheck and the certificate parser beneath it, tested from outside.

mod arbitrary;
mod authority;
mod cost;
mod devices;
mod foreign;
mod parameters;
mod proof;
mod rejections;
mod signatures;
mod warnings;

use muster_core::certificate::Issuer;
use muster_core::job::{CertificateMode, RegisterCaCertificate, RegisterCertificate};
use muster_core::precheck::{Policy, Precheck, Rejection, Verdict, Warning};
use muster_sandbox::specimen::Ca;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// The registration code of the account.
const CODE: &str = "5e1fc0de5e1fc0de5e1fc0de5e1fc0de5e1fc0de5e1fc0de5e1fc0de5e1fc0de";

fn job(certificate_pem: impl Into<String>) -> RegisterCertificate {
    RegisterCertificate { certificate_pem: certificate_pem.into(), ..RegisterCertificate::default() }
}

fn job_under(ca: &Ca, certificate_pem: impl Into<String>) -> RegisterCertificate {
    RegisterCertificate { ca_certificate_pem: Some(ca.pem()), ..job(certificate_pem) }
}

/// Returns a request for a CA in mode DEFAULT.
fn ca_job(ca: &Ca) -> RegisterCaCertificate {
    let verification_certificate = Some(ca.verification(CODE));
    RegisterCaCertificate { ca_certificate: ca.pem(), verification_certificate, ..RegisterCaCertificate::default() }
}

/// Returns a request for a CA in mode `SNI_ONLY`.
fn ca_alone(ca_certificate: impl Into<String>) -> RegisterCaCertificate {
    RegisterCaCertificate {
        ca_certificate: ca_certificate.into(),
        certificate_mode: Some(CertificateMode::SniOnly),
        ..RegisterCaCertificate::default()
    }
}

fn check_ca(job: &RegisterCaCertificate) -> Verdict {
    Precheck::new(Policy::default(), []).check(&job.clone().into(), NOW, Some(CODE))
}

fn rejection(verdict: Verdict) -> Rejection {
    verdict.result.expect_err("the precheck rejects it")
}

fn warnings(verdict: &Verdict) -> Vec<&'static str> {
    assert!(verdict.result.is_ok(), "{:?}", verdict.result);
    verdict.warnings.iter().map(Warning::code).collect()
}

fn check(job: &RegisterCertificate) -> Verdict {
    Precheck::new(Policy::default(), []).check(&job.clone().into(), NOW, None)
}

fn check_knowing(ca: &Ca, job: &RegisterCertificate) -> Verdict {
    Precheck::new(Policy::default(), [Issuer::new(ca.certificate().clone()).unwrap()]).check(
        &job.clone().into(),
        NOW,
        None,
    )
}
