//! One batch, one CA, a sample, more than one page.

use muster_core::job::RegisterCertificate;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::json;

use super::{Site, counts, id};
use crate::factory::Factory;

#[tokio::test(flavor = "multi_thread")]
async fn one_batch_can_be_compared() {
    let (site, pems) = Site::with(3).await;
    let others: Vec<String> = (0..2).map(|_| site.factory.ca.leaf("of another batch")).collect();
    let body = |pem: &String| {
        let mut job = Factory::job(pem);
        job.batch = "other".parse().unwrap();
        job.to_body()
    };
    // The last certificate of the first batch is also in the second.
    let bodies: Vec<_> = others.iter().chain(&pems[2..]).map(body).collect();
    site.factory.send(&bodies).await;
    site.factory.drain().await;
    for pem in [&pems[0], &pems[2], &others[0]] {
        site.delete(pem).await;
    }
    site.factory
        .sandbox
        .plant_certificate(&Ca::new("x").leaf("x"), muster_core::job::CertificateStatus::Active)
        .unwrap();
    let (code, found) = site.reconcile("--dry-run --batch other").await;
    assert_eq!((code, counts(&found)), (Some(6), [2, 0, 0, 0]), "{found}");
    let (_, found) = site.reconcile("--dry-run").await;
    assert_eq!(counts(&found), [4, 1, 0, 0], "a certificate of two batches counts twice: {found}");
    assert_eq!(found["n_described"], 3, "and is described once");
    let (_, found) = site.reconcile("--yes --batch other").await;
    assert_eq!(found["done"]["n_gone"], 2);
    let (_, found) = site.reconcile("--dry-run").await;
    assert_eq!(counts(&found), [2, 1, 0, 0], "{found}");
    let (code, _, stderr) = site.run("--dry-run --batch unknown").await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: the ledger does not know batch `unknown`\nhint: "), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_one_ca_can_be_compared() {
    let (site, pems) = Site::with(2).await;
    let line = Ca::new("Line CA");
    site.factory.sandbox.plant_ca(&line.pem()).unwrap();
    let others: Vec<String> = (0..2).map(|_| line.leaf("of the line")).collect();
    let with_ca = |pem: &String| RegisterCertificate {
        certificate_pem: pem.clone(),
        ca_certificate_pem: Some(line.pem()),
        status: Some(muster_core::job::CertificateStatus::Active),
        ..RegisterCertificate::default()
    };
    let bodies: Vec<_> = others.iter().map(|pem| Factory::job_of(with_ca(pem)).to_body()).collect();
    site.factory.send(&bodies).await;
    site.factory.drain().await;
    site.delete(&pems[0]).await;
    site.delete(&others[0]).await;
    let ca = format!("--dry-run --ca {}", line.certificate().id());
    let (code, _, stderr) = site.run(&ca).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("is neither in the ledger nor in `precheck.ca_folder`\nhint: put its PEM file"),
        "{stderr}"
    );
    std::fs::write(site.factory.folder().join("cas/line.pem"), line.pem()).unwrap();
    let (code, found) = site.reconcile(&ca).await;
    assert_eq!((code, counts(&found)), (Some(6), [1, 0, 0, 0]), "{found}");
    assert_eq!(found["missing_at_aws"]["examples"][0]["certificate_id"], json!(id(&others[0])));
    assert_eq!((&found["n_listed"], &found["n_calls"]), (&json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_describes_random_certificates() {
    let (site, pems) = Site::with(5).await;
    let n_lists = || site.factory.sandbox.ledger().summary(ApiOperation::ListCertificates).calls;
    let (code, found) = site.reconcile("--dry-run --sample 3").await;
    assert_eq!((code, &found["n_described"], &found["n_calls"]), (Some(0), &json!(3), &json!(3)), "{found}");
    assert_eq!((&found["n_listed"], n_lists()), (&json!(null), 0));
    site.delete(&pems[4]).await;
    for scope in ["", "--batch batch"] {
        let (code, found) = site.reconcile(&format!("--dry-run --sample 100 {scope}")).await;
        assert_eq!((code, counts(&found), &found["n_described"]), (Some(6), [1, 0, 0, 0], &json!(5)), "{found}");
    }
    let (_, found) = site.reconcile("--yes --sample 100 --repair").await;
    assert_eq!((&found["done"]["n_gone"], &found["done"]["n_sent_again"]), (&json!(1), &json!(1)), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_pages_are_compared_despite_throttles() {
    let (site, pems) = Site::with(1020).await;
    for pem in [&pems[3], &pems[700]] {
        site.delete(pem).await;
    }
    let mut foreign: Vec<String> = (0..30).map(|_| site.factory.ca.leaf("of another system")).collect();
    for pem in &foreign {
        site.factory.sandbox.plant_certificate(pem, muster_core::job::CertificateStatus::Active).unwrap();
    }
    for operation in [ApiOperation::ListCertificates, ApiOperation::DescribeCertificate] {
        site.factory.sandbox.faults().set(Fault::new(operation, Effect::Throttle).calls(2)).unwrap();
    }
    let (code, found) = site.reconcile("--yes").await;
    assert_eq!((code, counts(&found)), (Some(6), [2, 30, 0, 0]), "{found}");
    assert_eq!((&found["n_listed"], &found["n_described"]), (&json!(1048), &json!(2)));
    assert_eq!(found["n_calls"], 5 + 2 + 4);
    let mut examples: Vec<String> = found["unknown_to_the_ledger"]["examples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|example| example["certificate_id"].as_str().unwrap().to_owned())
        .collect();
    foreign = foreign.iter().map(|pem| id(pem).to_string()).collect();
    foreign.sort();
    examples.sort();
    assert_eq!(examples, foreign[..20], "the first twenty are listed");
    crate::ledger::assert_counters_equal_the_rows(&site.factory.database).await;
}
