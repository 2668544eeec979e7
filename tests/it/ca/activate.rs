//! A CA that is already registered in AWS: it is activated on request, and its status is what AWS reports.

use std::time::Duration;

use muster_core::job::CertificateStatus;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::json;

use super::Setup;

const ACTIVATE: &str = "ca.pem --key ca.key --activate";

fn error(operation: ApiOperation, code: &str, status: u16) -> Fault {
    let effect = Effect::Error { status, code: code.to_owned(), message: "as ordered".to_owned(), executed: false };
    Fault::new(operation, effect)
}

/// Creates a setup whose CA is registered as INACTIVE, without Muster.
async fn with_an_inactive_ca() -> Setup {
    let setup = Setup::new().await;
    setup.plant(false);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_ca_is_activated_and_its_parked_devices_are_resent() {
    let mut setup = with_an_inactive_ca().await;
    // Long after the test: only the activation itself can release the hold.
    setup.factory.config.breakers.issuer_probe = Duration::from_hours(1).into();
    setup.factory.enqueue(&[setup.ca.leaf("1"), setup.ca.leaf("2"), setup.ca.leaf("3")]).await;
    let serving = setup.factory.serve().await;
    let parked = [(Code::IssuerInactive, 3)];
    setup.factory.until("all are parked", async |f| f.outcomes().await.into_iter().eq(parked)).await;

    let (code, report) = setup.register(ACTIVATE).await;
    assert_eq!((code, &report["status"], &report["activated"]), (Some(0), &json!("already_registered"), &json!(true)));
    assert_eq!((&report["certificate_status"], &report["hint"]), (&json!("ACTIVE"), &json!(null)), "{report}");
    assert!(setup.registered().unwrap().is_active);
    setup.factory.until("all are registered", async |f| f.outcomes().await.into_iter().eq([(Code::Ok, 3)])).await;
    serving.stop().await;
    assert_eq!(setup.n_calls(ApiOperation::UpdateCACertificate), 1);
    let reports = setup.factory.ledger.authority_reports().await.unwrap();
    assert_eq!(reports[0].authority.status, Some(CertificateStatus::Active));
}

#[tokio::test(flavor = "multi_thread")]
async fn register_prints_whether_the_ca_was_activated_or_already_active() {
    let setup = with_an_inactive_ca().await;
    for (words, first) in [
        (ACTIVATE, "already registered, activated: CN=Line CA\n"),
        (ACTIVATE, "already registered: CN=Line CA\n"),
        ("ca.pem --key ca.key", "already registered: CN=Line CA\n"),
    ] {
        let (code, stdout, stderr) = setup.ca(&format!("register {words}")).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with(first) && stdout.contains("    status       ACTIVE\n"), "{stdout}");
        let output = format!("{stdout}{stderr}");
        assert!(!output.contains("INACTIVE") && !output.contains("hint:"), "{output}");
    }
    assert_eq!(setup.n_calls(ApiOperation::UpdateCACertificate), 1, "an active CA needs no call");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_activate_the_hint_shows_how_to_activate() {
    let setup = with_an_inactive_ca().await;
    let (code, stdout, stderr) = setup.ca("register ca.pem --key ca.key").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("already registered: CN=Line CA\n"), "{stdout}");
    assert!(stdout.contains("    status       INACTIVE\n"), "{stdout}");
    let hint = "hint: the CA is INACTIVE, so certificates that it issued cannot be registered; `muster ca register ca.pem \
                --key ca.key --activate` activates it\n";
    assert!(stderr.contains(hint), "{stderr}");
    assert!(!setup.registered().unwrap().is_active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_update_exits_with_4_and_names_the_permission() {
    let setup = with_an_inactive_ca().await;
    let denied = error(ApiOperation::UpdateCACertificate, "AccessDeniedException", 403);
    setup.factory.sandbox.faults().set(denied).unwrap();
    let (code, stdout, stderr) = setup.ca(&format!("register {ACTIVATE}")).await;
    assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
    let expected = "error: AWS has the CA already, it is INACTIVE, and it was not activated: UpdateCACertificate: \
                AccessDeniedException: as ordered";
    assert!(stderr.contains(expected), "{stderr}");
    assert!(stderr.contains("hint: allow iot:UpdateCACertificate"), "{stderr}");
    assert_eq!(setup.n_calls(ApiOperation::UpdateCACertificate), 1);
    // The ledger now knows that the CA is registered but not active.
    let reports = setup.factory.ledger.authority_reports().await.unwrap();
    assert_eq!(reports[0].authority.status, Some(CertificateStatus::Inactive));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_retried_and_each_failure_has_its_exit_code() {
    let setup = with_an_inactive_ca().await;
    let faults = setup.factory.sandbox.faults();
    for (fault, wanted, n_calls) in [
        (error(ApiOperation::UpdateCACertificate, "ServiceUnavailableException", 503).calls(4), 5, 4),
        (error(ApiOperation::UpdateCACertificate, "ThrottlingException", 400).calls(4), 5, 8),
        (error(ApiOperation::UpdateCACertificate, "InvalidRequestException", 400).calls(1), 3, 9),
        (error(ApiOperation::UpdateCACertificate, "ThrottlingException", 400).calls(2), 0, 12),
    ] {
        faults.set(fault.clone()).unwrap();
        let (code, _, stderr) = setup.ca(&format!("register {ACTIVATE}")).await;
        assert_eq!(code, Some(wanted), "{fault:?}: {stderr}");
        assert_eq!(setup.n_calls(ApiOperation::UpdateCACertificate), n_calls, "{fault:?}");
        assert_eq!(setup.registered().unwrap().is_active, wanted == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_describe_does_not_prevent_activation() {
    let setup = with_an_inactive_ca().await;
    let denied = error(ApiOperation::DescribeCACertificate, "AccessDeniedException", 403);
    setup.factory.sandbox.faults().set(denied).unwrap();
    let (code, stdout, stderr) = setup.ca("register ca.pem --key ca.key").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("    status       unknown: DescribeCACertificate: AccessDeniedException"), "{stdout}");
    assert!(stderr.contains("--activate` activates the CA if it is not active"), "{stderr}");
    assert!(stderr.contains("allow iot:DescribeCACertificate"), "{stderr}");

    let (code, report) = setup.register(ACTIVATE).await;
    assert_eq!((code, &report["activated"], &report["certificate_status"]), (Some(0), &json!(true), &json!("ACTIVE")));
    assert!(setup.registered().unwrap().is_active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_reports_what_would_change_for_a_registered_ca() {
    let setup = with_an_inactive_ca().await;
    let dry = format!("register {ACTIVATE} --dry-run");
    let (code, stdout, _) = setup.ca(&dry).await;
    assert!(stdout.starts_with("already registered, would be activated: CN=Line CA\n"), "{stdout}");
    assert_eq!(code, Some(0));
    let (_, stdout, stderr) = setup.ca("register ca.pem --key ca.key --dry-run").await;
    assert!(stdout.starts_with("already registered, nothing would be done: CN=Line CA\n"), "{stdout}");
    assert!(stdout.contains("    status       INACTIVE\n") && stderr.contains("--activate` activates it"), "{stderr}");

    setup.set_active(true);
    let (code, report) = setup.register(&format!("{ACTIVATE} --dry-run")).await;
    assert_eq!((code, &report["plan"], &report["certificate_status"]), (Some(0), &json!("nothing"), &json!("ACTIVE")));
    let n_changes =
        setup.n_calls(ApiOperation::UpdateCACertificate) + setup.n_calls(ApiOperation::RegisterCACertificate);
    assert_eq!((n_changes, setup.n_rows("registrations").await), (0, 0));
}
