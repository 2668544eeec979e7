//! `muster reconcile`: the ledger compared with what the sandbox holds, with deliberate differences.

mod repair;
mod rows;
mod scope;
mod trouble;

use aws_sdk_iot::types::CertificateStatus as AwsStatus;
use muster::aws::identity;
use muster_core::certificate::{Certificate, CertificateId};
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::Code;
use serde_json::{Value, json};

use crate::factory::{BATCH, Factory};
use crate::ledger::assert_counters_equal_the_rows;

/// A factory, and AWS as used by another client.
struct Site {
    factory: Factory,
    iot: aws_sdk_iot::Client,
}

impl Site {
    async fn new() -> Self {
        let factory = Factory::new(1000.0).await;
        let aws = identity::load(&factory.config.aws.access()).await;
        Self { iot: aws_sdk_iot::Client::new(&aws), factory }
    }

    /// Creates a site with `n` registered certificates; returns their PEM texts too.
    async fn with(n: usize) -> (Self, Vec<String>) {
        let site = Self::new().await;
        let pems = site.factory.leaves(n);
        site.register(&pems).await;
        (site, pems)
    }

    async fn register(&self, pems: &[String]) {
        self.factory.enqueue(pems).await;
        self.factory.drain().await;
    }

    async fn set_status(&self, pem: &str, status: AwsStatus) {
        let update = self.iot.update_certificate().certificate_id(id(pem).to_string());
        update.new_status(status).send().await.unwrap();
    }

    /// Deletes a certificate in AWS.
    async fn delete(&self, pem: &str) {
        self.set_status(pem, AwsStatus::Inactive).await;
        self.iot.delete_certificate().certificate_id(id(pem).to_string()).send().await.unwrap();
    }

    /// Runs `muster reconcile`; returns exit code, standard output and standard error.
    async fn run(&self, words: &str) -> (Option<i32>, String, String) {
        let mut arguments = vec!["reconcile", "--rate", "1000"];
        arguments.extend(words.split_whitespace());
        self.factory.spawn(&arguments).wait().await
    }

    /// Runs `muster reconcile` with JSON output.
    async fn reconcile(&self, words: &str) -> (Option<i32>, Value) {
        let (code, stdout, stderr) = self.run(&format!("--json {words}")).await;
        (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON: {stdout}\n{stderr}")))
    }

    /// Returns the only row of a query, as JSON.
    async fn value(&self, query: &'static str) -> Value {
        let query = format!("select to_jsonb(found) from ({query}) as found");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&self.factory.database.pool).await.unwrap()
    }

    /// Returns everything that a comparison may change.
    async fn everything(&self) -> Value {
        self.value(
            "select (select jsonb_agg(r order by subject) from registrations r) as rows,
                (select jsonb_agg(c order by batch, source, status, code) from batch_counters c) as counters,
                (select jsonb_agg(h) from holds h) as holds, (select count(*) from audit) as audit",
        )
        .await
    }

    async fn is_known(&self, pem: &str) -> bool {
        let ids = [id(pem)];
        let known = self.factory.ledger.known("000000000000", "us-east-1", Operation::RegisterCertificate, &ids);
        !known.await.unwrap().is_empty()
    }
}

fn id(pem: &str) -> CertificateId {
    Certificate::from_pem(pem).unwrap().id()
}

/// Returns how many of each difference were found.
fn counts(found: &Value) -> [u64; 4] {
    ["missing_at_aws", "unknown_to_the_ledger", "ended_otherwise", "other_status"]
        .map(|name| found[name]["n"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn agreement_is_reported_and_nothing_changes() {
    let (site, _) = Site::with(3).await;
    // Left by a run that died long ago.
    sqlx::query("insert into listed (run, certificate_id) values (1, sha256('dead'))")
        .execute(&site.factory.database.pool)
        .await
        .unwrap();
    let before = site.everything().await;
    let (code, found) = site.reconcile("--yes --repair").await;
    assert_eq!((code, counts(&found)), (Some(0), [0; 4]), "{found}");
    assert_eq!((&found["n_listed"], &found["n_described"], &found["n_calls"]), (&json!(3), &json!(0), &json!(1)));
    assert_eq!(found["done"], Value::Null);
    assert_eq!(site.everything().await, before);
    assert_eq!(site.value("select count(*) as n from listed").await["n"], 0);
    let (code, stdout, stderr) = site.run("--dry-run").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("\nAWS listed 3 certificates\n") && stdout.ends_with("\nthe ledger and AWS agree\n"),
        "{stdout}"
    );
    assert!(stderr.contains("comparing the ledger with 000000000000 in us-east-1"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_deleted_at_aws_is_gone_and_can_be_registered_again() {
    let (site, pems) = Site::with(3).await;
    site.delete(&pems[1]).await;
    let before = site.everything().await;
    let (code, found) = site.reconcile("--dry-run").await;
    assert_eq!((code, counts(&found)), (Some(6), [1, 0, 0, 0]), "{found}");
    let example = &found["missing_at_aws"]["examples"][0];
    assert_eq!((&example["certificate_id"], &example["batch"]), (&json!(id(&pems[1])), &json!(BATCH)));
    assert_eq!((&example["status_at_aws"], &found["n_described"]), (&Value::Null, &json!(1)));
    assert_eq!(site.everything().await, before, "a dry run changes nothing");

    let (code, found) = site.reconcile("--yes").await;
    assert_eq!(code, Some(6));
    assert_eq!(
        found["done"],
        json!({
            "n_gone": 1, "n_gone_without_certificate": 0, "n_learnt": 0, "n_sent_again": 0,
        })
    );
    let row = site
        .value(
            "select status, detail, known_status, certificate, request, waits_for from registrations where code = 'deleted'",
        )
        .await;
    assert_eq!(
        (&row["status"], &row["known_status"], &row["certificate"]),
        (&json!("gone"), &Value::Null, &Value::Null)
    );
    assert!(row["detail"].as_str().unwrap().starts_with("it was registered; AWS did not have it on 2"), "{row}");
    assert_eq!(row["request"], json!({ "certificatePem": pems[1], "status": "ACTIVE" }));
    assert_eq!(row["waits_for"], Value::Null, "no repair was requested");
    assert_counters_equal_the_rows(&site.factory.database).await;
    assert!(!site.is_known(&pems[1]).await && site.is_known(&pems[0]).await);
    let audit = site.value("select action, what, detail from audit").await;
    assert_eq!((&audit["action"], &audit["what"]), (&json!("reconcile"), &json!("target default")));
    assert_eq!(audit["detail"]["done"]["n_gone"], 1);
    assert_eq!(site.reconcile("--yes").await.0, Some(0), "the ledger has recorded it");

    site.register(&pems[1..2]).await;
    assert_eq!(site.factory.outcomes().await, [(Code::Ok, 3)].into());
    assert!(site.factory.sandbox.ledger().certificate(id(&pems[1])).is_some());
    assert_counters_equal_the_rows(&site.factory.database).await;
    assert_eq!(site.reconcile("--yes").await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_unknown_to_the_ledger_are_only_reported() {
    let (site, pems) = Site::with(2).await;
    let foreign = site.factory.ca.leaf("of another system");
    site.factory.sandbox.plant_certificate(&foreign, CertificateStatus::Active).unwrap();
    let before = site.everything().await;
    let (code, stdout, stderr) = site.run("--yes").await;
    assert_eq!(code, Some(6), "{stderr}");
    let expected =
        format!("\n1: at AWS, not in the ledger (possibly registered just now)\n    {}, ACTIVE\n", id(&foreign));
    assert!(stdout.ends_with(&expected), "{stdout}");
    assert_eq!(site.everything().await, before);
    assert!(site.is_known(&pems[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_different_status_at_aws_is_reported_and_recorded() {
    let site = Site::new().await;
    let pems = site.factory.leaves(4);
    // Two are already registered, one of them with the requested status: the ledger knows the status of neither.
    site.factory.sandbox.plant_certificate(&pems[0], CertificateStatus::Active).unwrap();
    site.factory.sandbox.plant_certificate(&pems[1], CertificateStatus::Inactive).unwrap();
    site.register(&pems).await;
    site.set_status(&pems[2], AwsStatus::Revoked).await;
    let (code, found) = site.reconcile("--yes").await;
    assert_eq!((code, counts(&found)), (Some(6), [0, 0, 0, 3]), "{found}");
    assert_eq!((&found["other_status"]["n_not_wanted"], &found["other_status"]["n_unknown"]), (&json!(2), &json!(3)));
    assert_eq!(found["done"]["n_learnt"], 3);
    let mut statuses: Vec<(Vec<u8>, String, Option<String>)> =
        sqlx::query_as("select subject, known_status, detail from registrations")
            .fetch_all(&site.factory.database.pool)
            .await
            .unwrap();
    let mut wanted: Vec<_> = [("ACTIVE", false), ("INACTIVE", true), ("REVOKED", true), ("ACTIVE", false)]
        .into_iter()
        .zip(&pems)
        .map(|((status, differs), pem)| {
            let detail = differs.then(|| format!("its status is {status}, ACTIVE was requested"));
            (id(pem).0.to_vec(), status.to_owned(), detail)
        })
        .collect();
    statuses.sort();
    wanted.sort();
    assert_eq!(statuses, wanted);
    assert_counters_equal_the_rows(&site.factory.database).await;
    let before = site.everything().await;
    let (code, found) = site.reconcile("--yes").await;
    assert_eq!((code, counts(&found)), (Some(6), [0, 0, 0, 2]), "an unwanted status remains a difference: {found}");
    assert_eq!(site.everything().await, before, "there is nothing more to learn");
}
