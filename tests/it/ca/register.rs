//! CAs that can be registered, in every way.

use muster_core::job::CertificateMode;
use muster_core::outcome::Code;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::{Ca, KeyKind};
use serde_json::json;

use super::Office;
use crate::factory::Program;
use crate::ledger::assert_counters_equal_the_rows;

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_registered_with_its_private_key() {
    let office = Office::new().await;
    let (code, report) = office.register("ca.pem --key ca.key --activate --batch cas").await;
    assert_eq!(code, Some(0), "{report}");
    let id = office.ca.certificate().id().to_string();
    assert_eq!((&report["status"], &report["code"]), (&json!("registered"), &json!("ok")));
    assert_eq!((&report["certificate_id"], &report["certificate_status"]), (&json!(id), &json!("ACTIVE")));
    assert_eq!(report["certificate_arn"], format!("arn:aws:iot:us-east-1:000000000000:cacert/{id}"));
    let there = office.registered().unwrap();
    assert_eq!((there.is_active, there.mode, there.auto_registration), (true, CertificateMode::Default, false));

    let batch = office.factory.ledger.batch_status("cas").await.unwrap().unwrap();
    assert_eq!(batch.counts.iter().map(|count| (count.code, count.n)).collect::<Vec<_>>(), [(Code::Ok, 1)]);
    let message: String = sqlx::query_scalar("select message_id from registrations")
        .fetch_one(&office.factory.database.pool)
        .await
        .unwrap();
    assert!(message.starts_with("by-hand-"), "{message}");
    assert_eq!(office.n_rows("rate_limits").await, 1, "the call had a token of the shared quota");
    assert_counters_equal_the_rows(&office.factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn register_prints_the_registered_ca() {
    let office = Office::new().await;
    let (code, stdout, stderr) = office.ca("register ca.pem --key ca.key --activate").await;
    assert_eq!(code, Some(0), "{stderr}");
    let id = office.ca.certificate().id();
    for line in [
        "registered: CN=Line CA\n",
        &format!("    id           {id}\n"),
        &format!("    arn          arn:aws:iot:us-east-1:000000000000:cacert/{id}\n"),
        "    account      000000000000 in us-east-1, target default\n",
        "    batch        unbatched\n",
        "    mode         DEFAULT\n",
        "    status       ACTIVE\n",
        "    valid until  9999-12-31T23:59:59Z\n",
    ] {
        assert!(stdout.contains(line), "{line} is not in\n{stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_come_from_standard_input() {
    use tokio::io::AsyncWriteExt;
    let office = Office::new().await;
    let mut command = office.factory.command(&["ca", "register", "ca.pem", "--key", "-"]);
    let mut program = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(office.ca.key_pem().as_bytes()).await.unwrap();
    let (code, _, stderr) = Program(program).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!office.registered().unwrap().is_active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_registered_with_a_verification_certificate() {
    let office = Office::new().await;
    office.write("proof.pem", &office.ca.verification(&office.factory.sandbox.registration_code()));
    let (code, report) = office.register("ca.pem --verification proof.pem").await;
    assert_eq!((code, &report["certificate_status"]), (Some(0), &json!("INACTIVE")), "{report}");
    assert_eq!(office.n_calls(ApiOperation::RegisterCACertificate), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_sni_only_needs_no_proof_and_no_code() {
    let office = Office::new().await;
    let (code, report) = office.register("ca.pem --mode SNI-only --allow-auto-registration").await;
    assert_eq!((code, &report["certificate_mode"]), (Some(0), &json!("SNI_ONLY")), "{report}");
    let there = office.registered().unwrap();
    assert_eq!((there.mode, there.auto_registration), (CertificateMode::SniOnly, true));
    assert_eq!(office.n_calls(ApiOperation::GetRegistrationCode), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_templates_reach_aws() {
    let office = Office::new().await;
    office.factory.sandbox.add_template("line-template");
    let words = "ca.pem --mode sni-only --tag plant=3 --tag line=7=b --template line-template";
    let (code, report) = office.register(words).await;
    assert_eq!(code, Some(0), "{report}");
    let there = office.registered().unwrap();
    assert_eq!(there.tags.len(), 2);
    assert!(there.registration_config.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_der_ca_with_an_rsa_key_is_registered() {
    let office = Office::new().await;
    let ca = Ca::with_key(KeyKind::Rsa2048, "Line CA");
    std::fs::write(office.factory.folder().join("ca.der"), ca.certificate().der()).unwrap();
    office.write("rsa.key", &ca.key_pem());
    let (code, report) = office.register("ca.der --key rsa.key").await;
    assert_eq!((code, &report["certificate_id"]), (Some(0), &json!(ca.certificate().id().to_string())), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_twice_reports_already_registered() {
    let office = Office::new().await;
    let words = "ca.pem --key ca.key --activate";
    office.register(words).await;
    let (code, report) = office.register(words).await;
    assert_eq!((code, &report["status"], &report["code"]), (Some(0), &json!("already_registered"), &json!("exists")));
    assert_eq!((&report["certificate_status"], &report["certificate_mode"]), (&json!("ACTIVE"), &json!("DEFAULT")));
    assert!(report["hint"].is_null(), "{report}");
    assert_eq!(office.n_calls(ApiOperation::RegisterCACertificate), 2);
    assert_eq!(office.factory.ledger.batch_status("unbatched").await.unwrap().unwrap().ended(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_calls_and_records_nothing() {
    let office = Office::new().await;
    let words = "ca.pem --key ca.key --activate --tag plant=3 --dry-run";
    let (code, report) = office.register(words).await;
    assert_eq!((code, &report["dry_run"], &report["status"]), (Some(0), &json!(true), &json!(null)), "{report}");
    assert_eq!(report["request"]["caCertificate"], office.ca.pem());
    assert_eq!(
        (&report["request"]["setAsActive"], &report["request"]["certificateMode"]),
        (&json!(true), &json!("DEFAULT"))
    );
    let (_, stdout, _) = office.ca(&format!("register {words}")).await;
    for line in ["would be registered: CN=Line CA\n", "    status       ACTIVE\n", "    tag          plant=3\n"] {
        assert!(stdout.contains(line), "{line} is not in\n{stdout}");
    }
    assert_eq!(office.n_calls(ApiOperation::RegisterCACertificate), 0);
    for table in ["registrations", "authorities", "batches", "targets", "rate_limits"] {
        assert_eq!(office.n_rows(table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_are_resent_once_their_ca_is_registered() {
    let mut office = Office::new().await;
    // Long after the test: only the registration itself can release the hold.
    office.factory.config.breakers.issuer_probe = std::time::Duration::from_hours(1).into();
    let pems = [office.ca.leaf("1"), office.ca.leaf("2"), office.ca.leaf("3")];
    office.factory.enqueue(&pems).await;
    let serving = office.factory.serve().await;
    let parked = [(Code::IssuerInactive, 3)];
    office.factory.until("all wait", async |f| f.outcomes().await.into_iter().eq(parked)).await;
    let (code, report) = office.register("ca.pem --key ca.key --activate").await;
    assert_eq!(code, Some(0), "{report}");
    office.factory.until("all are in", async |f| f.outcomes().await.into_iter().eq([(Code::Ok, 3)])).await;
    serving.stop().await;
}

/// Premise: it was not recorded who had registered a CA.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_who_registered_a_ca() {
    let office = Office::new().await;
    let (code, _, stderr) = office.ca("register ca.pem --key ca.key --dry-run").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(office.factory.ledger.audited(None, 10).await.unwrap().is_empty(), "a dry run changes nothing");
    let mut command = office.factory.command(&["ca", "register", "ca.pem", "--key", "ca.key", "--activate"]);
    for name in ["USER", "LOGNAME", "SUDO_USER"] {
        command.env_remove(name);
    }
    let (code, _, stderr) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = office.factory.spawn(&["audit"]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let id = office.ca.certificate().id().to_string();
    for words in ["ca register", "CN=Line CA", &format!("certificate id {id}"), "certificate status ACTIVE"] {
        assert!(stdout.contains(words), "{words} is not in {stdout}");
    }
    assert!(!stdout.contains(['{', '"']), "{stdout}");
    let who = office.factory.ledger.audited(None, 1).await.unwrap().remove(0).who;
    assert!(who.split_once('@').is_some_and(|(user, host)| user != "uid 0" && !host.is_empty()), "{who}");
}
