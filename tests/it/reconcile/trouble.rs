//! Denials, outages, no target to ask, and Ctrl-C.

use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::{Value, json};

use super::Site;
use crate::factory::Factory;

fn error(operation: ApiOperation, status: u16, code: &str) -> Fault {
    let effect = Effect::Error { status, code: code.to_owned(), message: "as ordered".to_owned(), executed: false };
    Fault::new(operation, effect)
}

/// Waits until the program describes a certificate.
async fn until_described(site: &Site) {
    let n_calls = |factory: &Factory| factory.sandbox.ledger().summary(ApiOperation::DescribeCertificate).calls;
    site.factory.until("it describes the certificate", async |factory| n_calls(factory) > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_stops_it_and_names_the_permission() {
    let (site, pems) = Site::with(1).await;
    site.delete(&pems[0]).await;
    let before = site.everything().await;
    for operation in [ApiOperation::DescribeCertificate, ApiOperation::ListCertificates] {
        site.factory.sandbox.faults().set(error(operation, 403, "AccessDeniedException")).unwrap();
        let (code, stdout, stderr) = site.run("--yes").await;
        assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
        assert!(stderr.contains(&format!("error: {operation}: AccessDeniedException: as ordered\n")), "{stderr}");
        assert!(stderr.contains("hint: the credentials need iot:ListCertificates"), "{stderr}");
    }
    assert_eq!(site.everything().await, before);
    assert_eq!(site.value("select count(*) as n from listed").await["n"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_errors_are_retried() {
    let (site, pems) = Site::with(1).await;
    site.delete(&pems[0]).await;
    let faults = site.factory.sandbox.faults();
    faults.set(error(ApiOperation::ListCertificates, 503, "ServiceUnavailableException").calls(2)).unwrap();
    faults.set(Fault::new(ApiOperation::DescribeCertificate, Effect::Reset { executed: false }).calls(2)).unwrap();
    let (code, found) = site.reconcile("--dry-run").await;
    assert_eq!((code, found["missing_at_aws"]["n"].as_u64(), found["n_calls"].as_u64()), (Some(6), Some(1), Some(6)));
}

/// Creates a fault that gives every call this answer.
fn answer(operation: ApiOperation, body: &Value) -> Fault {
    let (content_type, body) = ("application/json".to_owned(), body.to_string());
    Fault::new(operation, Effect::Answer { status: 200, content_type, body, executed: false })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_certificate_is_ignored() {
    let (site, pems) = Site::with(1).await;
    site.delete(&pems[0]).await;
    let other = json!({ "certificateDescription": { "certificateId": "0".repeat(64), "status": "REVOKED" } });
    site.factory.sandbox.faults().set(answer(ApiOperation::DescribeCertificate, &other).calls(2)).unwrap();
    let (code, found) = site.reconcile("--dry-run").await;
    assert_eq!((code, found["missing_at_aws"]["n"].as_u64(), found["n_calls"].as_u64()), (Some(6), Some(1), Some(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_whose_pages_repeat_is_an_error() {
    let (site, _) = Site::with(1).await;
    let page = json!({ "certificates": [], "nextMarker": "abc" });
    site.factory.sandbox.faults().set(answer(ApiOperation::ListCertificates, &page)).unwrap();
    let (code, _, stderr) = site.run("--yes").await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("error: the list from AWS does not end: a page leads back to an earlier one\nhint: "),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_yes_is_required() {
    let (site, _) = Site::with(1).await;
    let (code, _, stderr) = site.run("").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("error: cannot ask for confirmation: there is no terminal\nhint: "), "{stderr}");
    let n_calls = site.factory.sandbox.ledger().summary(ApiOperation::ListCertificates).calls;
    assert_eq!(n_calls, 0, "it is checked before any call");
    let (code, _, stderr) = site.run("--batch unknown").await;
    assert!(code != Some(0) && stderr.contains("the ledger does not know batch `unknown`"), "{stderr}");
    let (code, _, stderr) = site.run("--yes --target nowhere").await;
    assert!(code == Some(2) && stderr.contains("target `nowhere` is not in the settings"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_changes_nothing() {
    let (site, pems) = Site::with(2).await;
    site.delete(&pems[0]).await;
    let before = site.everything().await;
    let slow = Fault::new(ApiOperation::DescribeCertificate, Effect::Hang { executed: false });
    site.factory.sandbox.faults().set(slow).unwrap();
    let program = site.factory.spawn(&["reconcile", "--yes", "--rate", "1000"]);
    until_described(&site).await;
    program.signal("INT");
    let (code, _, stderr) = program.wait().await;
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("interrupted: nothing was changed"), "{stderr}");
    assert_eq!(site.everything().await, before);
    assert_eq!(site.value("select count(*) as n from listed").await["n"], 0);
}

/// Premise: a crash of the server empties an unlogged table.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_list_is_not_compared() {
    let (site, pems) = Site::with(2).await;
    site.delete(&pems[0]).await;
    let before = site.everything().await;
    let slow = Effect::Latency { milliseconds: 2_000, up_to: None };
    site.factory.sandbox.faults().set(Fault::new(ApiOperation::DescribeCertificate, slow)).unwrap();
    let program = site.factory.spawn(&["reconcile", "--yes", "--rate", "1000"]);
    until_described(&site).await;
    sqlx::query("truncate listed").execute(&site.factory.database.pool).await.unwrap();
    let (code, stdout, stderr) = program.wait().await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("the list from AWS is lost\nhint: run it again"), "{stderr}");
    assert_eq!(site.everything().await, before);
}
