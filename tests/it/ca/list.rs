//! `muster ca list` and `muster ca code`.

use std::collections::BTreeMap;

use muster::job::RegisterCaCertificate;
use muster::outcome::Code;
use serde_json::{Value, json};

use super::Office;
use crate::factory::Factory;

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_cas_says_so() {
    let office = Office::new().await;
    let (code, stdout, _) = office.ca("list").await;
    assert_eq!((code, stdout.as_str()), (Some(0), "no CA is known to be registered\n"));
    let (_, stdout, _) = office.ca("list --json").await;
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), json!({ "registered": [], "not_in": [] }));
}

/// Premise: a CA of the queue and one by hand are listed alike.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_tells_what_is_in_what_waits_and_what_is_not_in() {
    let mut office = Office::new().await;
    // A probe would take a job out of the count.
    office.factory.config.breakers.issuer_probe = std::time::Duration::from_hours(1).into();
    let factory = &office.factory;
    factory.enqueue(&[office.ca.leaf("1"), office.ca.leaf("2")]).await;
    let request = RegisterCaCertificate { ca_certificate: factory.ca.pem(), ..RegisterCaCertificate::default() };
    factory.send(&[Factory::job_of(request).to_body()]).await;
    let serving = factory.serve().await;
    let ends = BTreeMap::from([(Code::VerificationMissing, 1), (Code::IssuerInactive, 2)]);
    factory.until("all ended", async |factory| factory.ends().await == ends).await;
    serving.end().await;
    let (code, said) = office.register("ca.pem --mode sni-only").await;
    assert_eq!(code, Some(0), "{said}");

    let (code, stdout, stderr) = office.ca("list").await;
    assert_eq!(code, Some(0), "{stderr}");
    let (id, other) = (office.ca.certificate().id(), factory.ca.certificate().id());
    let known = format!(
        "CN=Line CA
    {id}
    default (000000000000 in us-east-1)
    status INACTIVE, mode SNI_ONLY, valid until 9999-12-31T23:59:59Z
    2 jobs wait for it

not in:
CN=Plant CA
    {other}
    target default, batch batch, "
    );
    assert!(stdout.starts_with(&known), "{stdout}");
    assert!(stdout.contains("\n    rejected verification_missing: "), "{stdout}");
    let (_, stdout, _) = office.ca("list --json").await;
    let listed: Value = serde_json::from_str(&stdout).unwrap();
    let (is_in, not_in) = (&listed["registered"][0], &listed["not_in"][0]);
    assert_eq!((&is_in["certificate_id"], &is_in["n_waiting"]), (&json!(id.to_string()), &json!(2)));
    assert_eq!((&is_in["certificate_status"], &is_in["targets"]), (&json!("INACTIVE"), &json!(["default"])));
    assert_eq!((&not_in["subject"], &not_in["code"]), (&json!("CN=Plant CA"), &json!("verification_missing")));
    assert_eq!((listed["registered"].as_array().unwrap().len(), listed["not_in"].as_array().unwrap().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_code_is_one_line_for_scripts() {
    let office = Office::new().await;
    let (code, stdout, stderr) = office.ca("code").await;
    assert_eq!((code, stdout), (Some(0), format!("{}\n", office.factory.sandbox.registration_code())), "{stderr}");
    assert_eq!(stderr.matches("\n  openssl ").count(), 3, "{stderr}");
    assert_eq!(office.n_rows("targets").await, 0, "it needs no ledger");
}
