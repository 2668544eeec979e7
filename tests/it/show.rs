//! `muster show`: a certificate by each of its names, as a person and as a script see it.

use aws_sdk_iot::types::CertificateStatus as AwsStatus;
use muster::aws::identity;
use muster::ledger::Row;
use muster_core::certificate::Certificate;
use muster_core::outcome::Code;
use muster_sandbox::specimen::Flaw;
use serde_json::{Value, json};

use crate::database::Database;
use crate::factory::Factory;
use crate::ledger::{page, row};

/// Runs `muster show`; returns exit code, standard output and standard error.
async fn show(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["show"], arguments].concat()).wait().await
}

pub(crate) async fn show_json(factory: &Factory, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = show(factory, &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Sends a certificate in two batches and waits for both outcomes.
async fn register_in_two_batches(factory: &Factory, pem: &str) {
    for batch in ["batch", "second"] {
        let mut job = Factory::job(pem);
        (job.batch, job.reference) = (batch.parse().unwrap(), Some("SN-7".parse().unwrap()));
        factory.send(&[job.to_body()]).await;
        factory.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_found_by_each_of_its_names() {
    let factory = Factory::new(1000.0).await;
    let pem = factory.ca.leaf("device 7");
    let certificate = Certificate::from_pem(&pem).unwrap();
    register_in_two_batches(&factory, &pem).await;
    factory.enqueue(&factory.leaves(1)).await;
    factory.drain().await;
    std::fs::write(factory.folder().join("device.pem"), format!("a comment\n{pem}")).unwrap();
    std::fs::write(factory.folder().join("device.der"), certificate.der()).unwrap();
    let id = certificate.id().to_string();
    let number = hex::encode(certificate.serial());
    let number = number.trim_start_matches("00");
    let colons: Vec<_> = number.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    let by_id = show_json(&factory, &[&id]).await;
    for name in [
        vec!["device.pem"],
        vec!["device.der", "--as", "file"],
        vec!["SN-7"],
        vec!["SN-7", "--as", "ref"],
        vec![number],
        vec![&format!("0x0000{number}"), "--as", "serial"],
        vec![&colons.join(":")],
        vec![&id, "--as", "id"],
    ] {
        assert_eq!(show_json(&factory, &name).await, by_id, "{name:?}");
    }
    assert_eq!((by_id["certificates"].as_array().unwrap().len(), &by_id["has_more"]), (1, &json!(false)));
    let found = &by_id["certificates"][0];
    assert_eq!((&found["certificate_id"], &found["certificate"]["subject"]), (&json!(id), &json!("CN=device 7")));
    assert_eq!(
        (&found["certificate"]["issuer"], &found["certificate"]["key"]),
        (&json!("CN=Plant CA"), &json!("EC P-256"))
    );
    assert_eq!(found["certificate"]["serial"], colons.join(":").to_lowercase());
    let (first, second) = (&found["rows"][0], &found["rows"][1]);
    assert_eq!(
        (&first["batch"], &first["code"], &first["known_status"]),
        (&json!("batch"), &json!("ok"), &json!("ACTIVE"))
    );
    assert_eq!((&first["ref"], &first["source"], &first["n_attempts"]), (&json!("SN-7"), &json!("line-1"), &json!(1)));
    assert_eq!(first["attempts"][0]["result"], "ok");
    assert!(!first["attempts"][0]["request_id"].as_str().unwrap().is_empty());
    assert_eq!(
        (&second["batch"], &second["code"], &second["n_attempts"]),
        (&json!("second"), &json!("known"), &json!(0))
    );

    let (code, stdout, stderr) = show(&factory, &["SN-7"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let request_id = first["attempts"][0]["request_id"].as_str().unwrap();
    for part in [
        format!("certificate {id}\n    subject CN=device 7\n    issuer CN=Plant CA\n"),
        "key EC P-256, signed with ecdsa-with-SHA256\n\nbatch batch, target default (000000000000 in us-east-1), \
         RegisterCertificate\n    registered ok\n    ref SN-7, source line-1\n    requested ACTIVE, "
            .to_owned(),
        format!(" ms, request id {request_id}\n\nbatch second, "),
        "\n    already_registered known\n".to_owned(),
    ] {
        assert!(stdout.contains(&part), "{part}\nis not in\n{stdout}");
    }
    let (code, stdout, _) = show(&factory, &[&id, "--pem"]).await;
    assert_eq!((code, stdout), (Some(0), certificate.to_pem()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_certificate_is_read_from_its_request() {
    let factory = Factory::new(1000.0).await;
    let late = factory.ca.flawed(Flaw::Expired, "late");
    let leaking = factory.ca.flawed(Flaw::WithPrivateKey, "leaking");
    let nonsense = factory.ca.flawed(Flaw::NotACertificate, "nonsense");
    factory.enqueue(&[late.clone(), leaking.clone(), nonsense.clone()]).await;
    factory.drain().await;
    let outcomes = [(Code::Expired, 1), (Code::PrivateKey, 1), (Code::NotACertificate, 1)];
    assert_eq!(factory.outcomes().await, outcomes.into());
    let late = Certificate::from_pem(&late).unwrap();
    let found = show_json(&factory, &[&late.id().to_string()]).await;
    let row = &found["certificates"][0]["rows"][0];
    assert_eq!((&row["status"], &row["code"], &row["attempts"]), (&json!("rejected"), &json!("expired"), &json!([])));
    assert_eq!(found["certificates"][0]["certificate"]["valid_until"], "2019-12-31T23:59:59Z");
    assert!(!found.to_string().contains("certificatePem"), "the request is not shown: {found}");
    let (_, stdout, _) = show(&factory, &[&late.id().to_string(), "--pem"]).await;
    assert_eq!(stdout, late.to_pem());

    let subjects: Vec<(Vec<u8>, String)> =
        sqlx::query_as("select subject, code from registrations where code <> 'expired'")
            .fetch_all(&factory.database.pool)
            .await
            .unwrap();
    for (subject, code) in subjects {
        let id = hex::encode(subject);
        let (exit, stdout, stderr) = show(&factory, &[&id]).await;
        assert_eq!(exit, Some(0), "{stderr}");
        assert!(stdout.contains(&format!("    rejected {code}: ")), "{stdout}");
        assert!(!stdout.contains("PRIVATE KEY"), "{stdout}");
        let (exit, stdout, stderr) = show(&factory, &[&id, "--pem"]).await;
        assert_eq!((exit, stdout.as_str()), (Some(1), ""), "{code}: {stderr}");
        assert!(
            stderr.contains(&format!("error: the ledger does not keep the certificate of `{id}`\nhint: ")),
            "{stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn show_asks_aws_in_the_target_of_the_ledger() {
    let factory = Factory::new(1000.0).await;
    let pem = factory.ca.leaf("device 7");
    let id = Certificate::from_pem(&pem).unwrap().id().to_string();
    register_in_two_batches(&factory, &pem).await;
    let found = show_json(&factory, &[&id]).await;
    assert_eq!(found["certificates"][0]["at_aws"], Value::Null, "AWS was not asked");
    let found = show_json(&factory, &[&id, "--aws"]).await;
    let at_aws = &found["certificates"][0]["at_aws"];
    assert_eq!(at_aws.as_array().unwrap().len(), 1, "two batches are one target: {at_aws}");
    assert_eq!((&at_aws[0]["status"], &at_aws[0]["mode"]), (&json!("ACTIVE"), &json!("DEFAULT")));
    assert_eq!(at_aws[0]["ca_certificate_id"], json!(factory.ca.certificate().id()));
    assert!(at_aws[0]["created_at"].as_str().unwrap().starts_with("20"));
    let iot = aws_sdk_iot::Client::new(&identity::load(&factory.config.aws.access()).await);
    iot.update_certificate().certificate_id(&id).new_status(AwsStatus::Revoked).send().await.unwrap();
    let (_, stdout, _) = show(&factory, &[&id, "--aws"]).await;
    assert!(
        stdout.contains("\nat AWS, target default (000000000000 in us-east-1): REVOKED, registered 20"),
        "{stdout}"
    );
    iot.delete_certificate().certificate_id(&id).send().await.unwrap();
    let (code, stdout, _) = show(&factory, &[&id, "--aws"]).await;
    assert_eq!(code, Some(0));
    assert!(stdout.ends_with("\nat AWS, target default (000000000000 in us-east-1): not registered\n"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_an_error_with_a_hint() {
    let factory = Factory::new(1000.0).await;
    std::fs::write(factory.folder().join("stranger.pem"), factory.ca.leaf("stranger")).unwrap();
    std::fs::write(factory.folder().join("text.pem"), "no certificate").unwrap();
    for name in ["SN-unknown", &"0".repeat(64), "stranger.pem", "01:02"] {
        let (code, stdout, stderr) = show(&factory, &[name]).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(&format!("error: the ledger does not know `{name}`\nhint: ")), "{stderr}");
    }
    for (name, kind) in [("text.pem", "file"), ("nowhere.pem", "file"), ("SN-7", "id"), ("SN-7", "serial")] {
        let (code, _, stderr) = show(&factory, &[name, "--as", kind]).await;
        assert_eq!(code, Some(2), "{stderr}");
    }
}

/// Premise: a CA that gives every certificate the same serial number.
#[tokio::test(flavor = "multi_thread")]
async fn at_most_a_hundred_rows_are_shown() {
    let factory = Factory::new(1000.0).await;
    let rows: Vec<Row> = (0..101).map(|n| Row { serial: Some(vec![1]), ..row(n, Code::Ok) }).collect();
    factory.ledger.record(&page(rows)).await.unwrap();
    let found = show_json(&factory, &["0x01"]).await;
    assert_eq!((found["certificates"].as_array().unwrap().len(), &found["has_more"]), (100, &json!(true)));
    let (_, stdout, _) = show(&factory, &["01"]).await;
    assert!(stdout.ends_with("\nthere are more rows: only the first 100 are shown\n"), "{stdout}");
}

/// Each name is looked up through its index, in a ledger large enough for that to pay off.
#[tokio::test(flavor = "multi_thread")]
async fn every_look_up_uses_an_index() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for from in (0..20_000).step_by(2_000) {
        let code = |n: u32| if n.is_multiple_of(3) { Code::Expired } else { Code::Ok };
        ledger.record(&page((from..from + 2_000).map(|n| row(n, code(n))).collect())).await.unwrap();
    }
    sqlx::query("analyze registrations").execute(&database.pool).await.unwrap();
    let id = muster_core::certificate::CertificateId(row(7, Code::Ok).subject);
    let rejected = muster_core::certificate::CertificateId(row(9, Code::Ok).subject);
    assert_eq!(ledger.entries_of_certificate(id, 101).await.unwrap().len(), 1);
    assert_eq!(ledger.entries_of_certificate(rejected, 101).await.unwrap().len(), 1);
    assert_eq!(ledger.entries_of_serial(&[vec![0, 0, 0, 7]], 101).await.unwrap().len(), 1);
    assert_eq!(ledger.entries_of_ref("SN-7", 101).await.unwrap().len(), 1);
    // The statistics of a connection are available once it is closed.
    ledger.close().await;
    let used = async || -> Vec<String> {
        sqlx::query_scalar("select indexrelname::text from pg_stat_user_indexes where idx_scan > 0")
            .fetch_all(&database.pool)
            .await
            .unwrap()
    };
    let wanted = ["known_certificates", "failures_of_a_certificate", "certificates_by_serial", "devices_of_a_ref"];
    let patience = std::time::Duration::from_mins(1);
    let until = async {
        loop {
            let used = used().await;
            if wanted.iter().all(|index| used.iter().any(|used| used == index)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, until).await.expect("an index is not used");
}
