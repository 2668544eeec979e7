//! `status` and the older `setAsActive` of a device, devices without a CA, and CAs that become known only later.

use muster_core::certificate::{Certificate, Issuer};
use muster_core::job::{CertificateStatus, RegisterCertificate, RegisterCertificateWithoutCa, Request};
use muster_core::outcome::Code;
use muster_core::precheck::{Call, CheckedCertificate, Policy, Precheck, Verdict};
use muster_sandbox::specimen::{Ca, Flaw, KeyKind};
use strum::VariantArray;

use super::{NOW, ca_job, check, check_ca, job, job_under, rejection, warnings};

fn without_ca(certificate_pem: impl Into<String>) -> RegisterCertificateWithoutCa {
    RegisterCertificateWithoutCa { certificate_pem: certificate_pem.into(), status: None }
}

fn check_without_ca(request: RegisterCertificateWithoutCa) -> Verdict {
    Precheck::new(Policy::default(), []).check(&request.into(), NOW, None)
}

pub(super) fn status(checked: &CheckedCertificate) -> Option<CertificateStatus> {
    match checked.call() {
        Call::RegisterCertificate { status, .. } | Call::RegisterCertificateWithoutCa { status, .. } => *status,
        Call::RegisterCaCertificate { .. } => panic!("the call of a CA"),
    }
}

fn issuer(ca: &Ca) -> Issuer {
    Issuer::new(ca.certificate().clone()).unwrap()
}

#[test]
fn set_as_active_is_sent_as_a_status_and_status_wins() {
    use CertificateStatus::{Active, Inactive, Revoked};
    let ca = Ca::new("Plant CA");
    let leaf = ca.leaf("device");
    for (newer, set_as_active, sent, is_odd) in [
        (None, None, None, false),
        (None, Some(true), Some(Active), false),
        (None, Some(false), Some(Inactive), false),
        (Some(Active), Some(true), Some(Active), false),
        (Some(Inactive), Some(false), Some(Inactive), false),
        (Some(Revoked), Some(false), Some(Revoked), false),
        (Some(Active), Some(false), Some(Active), true),
        (Some(Inactive), Some(true), Some(Inactive), true),
        (Some(Revoked), Some(true), Some(Revoked), true),
    ] {
        let request = RegisterCertificate { status: newer, set_as_active, ..job_under(&ca, &leaf) };
        let verdict = check(&request);
        let expected: &[&str] = if is_odd { &["status_contradicted"] } else { &[] };
        assert_eq!(warnings(&verdict), expected, "{newer:?} {set_as_active:?}");
        assert_eq!(status(&verdict.result.unwrap()), sent, "{newer:?} {set_as_active:?}");
        assert_eq!(Request::from(request).wanted_status(), sent.unwrap_or(Inactive));
    }
}

#[test]
fn set_as_active_does_not_replace_an_unusable_status() {
    let status = Some(CertificateStatus::PendingActivation);
    let request = RegisterCertificate { status, set_as_active: Some(true), ..job(Ca::new("Plant CA").leaf("device")) };
    assert_eq!(rejection(check(&request)).code(), Code::StatusUnusable);
}

#[test]
fn a_device_without_a_ca_may_have_any_issuer() {
    let ca = Ca::new("Plant CA");
    for &flaw in Flaw::VARIANTS {
        let result = check_without_ca(without_ca(ca.flawed(flaw, "device"))).result;
        // It does not matter who signed it.
        let is_ignored = matches!(flaw, Flaw::Foreign | Flaw::WronglySigned);
        assert_eq!(result.err().map(|rejection| rejection.code()), (!is_ignored).then_some(flaw.code()), "{flaw}");
    }
    let status = Some(CertificateStatus::PendingTransfer);
    let verdict = check_without_ca(RegisterCertificateWithoutCa { status, ..without_ca(ca.leaf("device")) });
    assert_eq!(rejection(verdict).code(), Code::StatusUnusable);
}

#[test]
fn a_device_without_a_ca_is_canonical_and_names_no_issuer() {
    let leaf = Ca::new("Plant CA").leaf("device");
    let request = RegisterCertificateWithoutCa {
        status: Some(CertificateStatus::Active),
        ..without_ca(leaf.replace('\n', "\r\n"))
    };
    let verdict = check_without_ca(request);
    assert_eq!(warnings(&verdict), Vec::<&str>::new());
    let checked = verdict.result.unwrap();
    assert_eq!(checked.id(), Certificate::from_pem(&leaf).unwrap().id());
    assert_eq!((checked.pem(), status(&checked)), (leaf.as_str(), Some(CertificateStatus::Active)));
    assert_eq!((checked.ca_pem(), checked.issuer_key(), checked.subject_key()), (None, None, None));
}

#[test]
fn name_ca_finds_the_ca_that_signed() {
    let ca = Ca::new("Plant CA");
    let others = [Ca::new("Plant CA"), Ca::new("Other CA"), ca.impostor(KeyKind::P256)];
    let precheck = |cas: &[&Ca]| Precheck::new(Policy::default(), cas.iter().map(|ca| issuer(ca)));
    let others_and = |ca| [&others[0], ca, &others[1], &others[2]];
    for (configured, more) in [(others_and(&ca).as_slice(), vec![]), (&[], others_and(&ca).map(issuer).into())] {
        let precheck = precheck(configured);
        let mut checked = precheck.check(&job(ca.leaf("device")).into(), NOW, None).result.unwrap();
        assert!(precheck.name_ca(&mut checked, &more));
        assert_eq!(checked.ca_pem(), Some(ca.pem().as_str()));
    }
}

#[test]
fn name_ca_skips_cas_that_did_not_sign() {
    let ca = Ca::new("Plant CA");
    let precheck = Precheck::new(Policy::default(), []);
    let mut checked = check(&job(ca.leaf("device"))).result.unwrap();
    assert!(!precheck.name_ca(&mut checked, &[]));
    assert!(!precheck.name_ca(&mut checked, &[issuer(&Ca::new("Plant CA")), issuer(&ca.impostor(KeyKind::P384))]));
    assert_eq!(checked.ca_pem(), None);
}

#[test]
fn name_ca_changes_nothing_if_a_ca_is_sent_or_not_allowed() {
    let (ca, precheck) = (Ca::new("Plant CA"), Precheck::new(Policy::default(), []));
    let leaf = ca.leaf("device");
    for verdict in [check(&job_under(&ca, &leaf)), check_without_ca(without_ca(leaf)), check_ca(&ca_job(&ca))] {
        let mut checked = verdict.result.unwrap();
        let before = checked.ca_pem().map(str::to_owned);
        assert!(!precheck.name_ca(&mut checked, &[issuer(&ca)]));
        assert_eq!(checked.ca_pem(), before.as_deref());
    }
}
