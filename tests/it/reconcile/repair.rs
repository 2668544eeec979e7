//! `--repair` resends what AWS lacks, and what AWS has although the ledger recorded a failure.

use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::json;

use super::{Site, counts, id};
use crate::ledger::assert_counters_equal_the_rows;

#[tokio::test(flavor = "multi_thread")]
async fn repair_registers_missing_certificates_again() {
    let (site, pems) = Site::with(4).await;
    site.delete(&pems[0]).await;
    assert_eq!(site.reconcile("--yes").await.0, Some(6));
    site.delete(&pems[1]).await;
    let (code, found) = site.reconcile("--dry-run --repair").await;
    assert_eq!((code, &found["n_gone_before"]), (Some(6), &json!(1)), "{found}");
    let (code, found) = site.reconcile("--yes --repair").await;
    assert_eq!((code, counts(&found)), (Some(6), [1, 0, 0, 0]), "{found}");
    assert_eq!((&found["done"]["n_gone"], &found["done"]["n_sent_again"]), (&json!(1), &json!(2)));
    let waiting = site.value("select count(*) as n from registrations where waits_for = 'repair:default'").await;
    assert_eq!(waiting["n"], 2);
    let (code, found) = site.reconcile("--yes --repair").await;
    assert_eq!((code, &found["n_gone_before"]), (Some(0), &json!(0)), "they already wait: {found}");

    site.factory.drain().await;
    assert_eq!(site.factory.outcomes().await, [(Code::Ok, 4)].into());
    for pem in &pems {
        assert!(site.factory.sandbox.ledger().certificate(id(pem)).is_some());
    }
    assert_counters_equal_the_rows(&site.factory.database).await;
    let holds = site.value("select count(*) as n from holds").await;
    assert_eq!(holds["n"], 0, "the hold is removed once all are sent");
    let row = site.value("select sum(n_duplicates) as n, count(certificate) as kept from registrations").await;
    assert_eq!((&row["n"], &row["kept"]), (&json!(0), &json!(4)));
    assert_eq!(site.reconcile("--yes --repair").await.0, Some(0));
}

/// Premise: AWS refused the certificate but registered it nevertheless.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_that_aws_has_is_resent_and_found() {
    let site = Site::new().await;
    let pems = site.factory.leaves(2);
    let effect = Effect::Error {
        status: 400,
        code: "InvalidRequestException".to_owned(),
        message: "as ordered".to_owned(),
        executed: true,
    };
    site.factory.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, effect).calls(1)).unwrap();
    site.register(&pems[..1]).await;
    site.register(&pems[1..]).await;
    assert_eq!(site.factory.outcomes().await, [(Code::Ok, 1), (Code::InvalidRequest, 1)].into());
    let (code, found) = site.reconcile("--yes").await;
    assert_eq!((code, counts(&found)), (Some(6), [0, 0, 1, 0]), "{found}");
    assert_eq!(found["ended_otherwise"]["codes"], json!({ "invalid_request": 1 }));
    assert_eq!(found["done"], json!(null), "without --repair there is nothing to do");

    let (code, found) = site.reconcile("--yes --repair").await;
    assert_eq!((code, &found["done"]["n_sent_again"]), (Some(6), &json!(1)), "{found}");
    site.factory.drain().await;
    assert_eq!(site.factory.outcomes().await, [(Code::Ok, 1), (Code::Exists, 1)].into());
    assert_counters_equal_the_rows(&site.factory.database).await;
}

/// Premise: an older version kept no certificates.
#[tokio::test(flavor = "multi_thread")]
async fn a_gone_row_without_its_certificate_must_be_enqueued_again() {
    let (site, pems) = Site::with(1).await;
    sqlx::query("update registrations set certificate = null, serial = null")
        .execute(&site.factory.database.pool)
        .await
        .unwrap();
    site.delete(&pems[0]).await;
    let (code, found) = site.reconcile("--dry-run --repair").await;
    assert_eq!((code, &found["missing_at_aws"]["n_without_certificate"]), (Some(6), &json!(1)), "{found}");
    let (code, stdout, stderr) = site.run("--yes --repair").await;
    assert_eq!(code, Some(6), "{stderr}");
    let to_do = "to do: mark 1 rows as gone, update the status of 0\n";
    assert!(stdout.contains(to_do), "it cannot be resent: {stdout}");
    assert!(stdout.contains("done: marked 1 rows as gone"), "{stdout}");
    assert!(stdout.contains("resend 1 of them with `muster enqueue`"), "{stdout}");
    assert!(stdout.ends_with("0 jobs are resent as soon as a worker runs\n"), "{stdout}");
    site.register(&pems).await;
    assert_eq!(site.factory.outcomes().await, [(Code::Ok, 1)].into());
    assert_counters_equal_the_rows(&site.factory.database).await;
}
