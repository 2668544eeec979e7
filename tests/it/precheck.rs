//! The precheck and the certificates it stands on, seen from outside.

mod arbitrary;
mod cost;
mod foreign;
mod rejections;
mod signatures;
mod warnings;

use muster::certificate::Issuer;
use muster::job::RegisterCertificate;
use muster::precheck::{Policy, Precheck, Verdict};
use muster::specimen::Ca;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn job(certificate_pem: impl Into<String>) -> RegisterCertificate {
    RegisterCertificate { certificate_pem: certificate_pem.into(), ..RegisterCertificate::default() }
}

fn job_under(ca: &Ca, certificate_pem: impl Into<String>) -> RegisterCertificate {
    RegisterCertificate { ca_certificate_pem: Some(ca.pem()), ..job(certificate_pem) }
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
