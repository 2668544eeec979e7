//! Every way to register a CA.

use muster_core::job::CertificateMode;
use muster_core::outcome::Code;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::{Ca, KeyKind};
use serde_json::json;

use super::Setup;
use crate::factory::Program;
use crate::ledger::assert_counters_equal_the_rows;

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_registered_with_its_private_key() {
    let setup = Setup::new().await;
    let (code, report) = setup.register("ca.pem --key ca.key --activate --batch cas").await;
    assert_eq!(code, Some(0), "{report}");
    let id = setup.ca.certificate().id().to_string();
    assert_eq!((&report["status"], &report["code"]), (&json!("registered"), &json!("ok")));
    assert_eq!((&report["certificate_id"], &report["certificate_status"]), (&json!(id), &json!("ACTIVE")));
    assert_eq!(report["certificate_arn"], format!("arn:aws:iot:us-east-1:000000000000:cacert/{id}"));
    let registered = setup.registered().unwrap();
    assert_eq!(
        (registered.is_active, registered.mode, registered.auto_registration),
        (true, CertificateMode::Default, false)
    );

    let batch = setup.factory.ledger.batch_status("cas").await.unwrap().unwrap();
    assert_eq!(batch.counts.iter().map(|count| (count.code, count.n)).collect::<Vec<_>>(), [(Code::Ok, 1)]);
    let message: String = sqlx::query_scalar("select message_id from registrations")
        .fetch_one(&setup.factory.database.pool)
        .await
        .unwrap();
    assert!(message.starts_with("by-hand-"), "{message}");
    assert_eq!(setup.n_rows("rate_limits").await, 1, "the call used a permit of the shared quota");
    assert_counters_equal_the_rows(&setup.factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn register_prints_the_registered_ca() {
    let setup = Setup::new().await;
    let (code, stdout, stderr) = setup.ca("register ca.pem --key ca.key --activate").await;
    assert_eq!(code, Some(0), "{stderr}");
    let id = setup.ca.certificate().id();
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
    let setup = Setup::new().await;
    let mut command = setup.factory.command(&["ca", "register", "ca.pem", "--key", "-"]);
    let mut program = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(setup.ca.key_pem().as_bytes()).await.unwrap();
    let (code, _, stderr) = Program(program).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!setup.registered().unwrap().is_active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_registered_with_a_verification_certificate() {
    let setup = Setup::new().await;
    setup.write("proof.pem", &setup.ca.verification(&setup.factory.sandbox.registration_code()));
    let (code, report) = setup.register("ca.pem --verification proof.pem").await;
    assert_eq!((code, &report["certificate_status"]), (Some(0), &json!("INACTIVE")), "{report}");
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_sni_only_needs_no_proof_and_no_code() {
    let setup = Setup::new().await;
    let (code, report) = setup.register("ca.pem --mode SNI-only --allow-auto-registration").await;
    assert_eq!((code, &report["certificate_mode"]), (Some(0), &json!("SNI_ONLY")), "{report}");
    let registered = setup.registered().unwrap();
    assert_eq!((registered.mode, registered.auto_registration), (CertificateMode::SniOnly, true));
    assert_eq!(setup.n_calls(ApiOperation::GetRegistrationCode), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_templates_reach_aws() {
    let setup = Setup::new().await;
    setup.factory.sandbox.add_template("line-template");
    let words = "ca.pem --mode sni-only --tag plant=3 --tag line=7=b --template line-template";
    let (code, report) = setup.register(words).await;
    assert_eq!(code, Some(0), "{report}");
    let registered = setup.registered().unwrap();
    assert_eq!(registered.tags.len(), 2);
    assert!(registered.registration_config.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_der_ca_with_an_rsa_key_is_registered() {
    let setup = Setup::new().await;
    let ca = Ca::with_key(KeyKind::Rsa2048, "Line CA");
    std::fs::write(setup.factory.folder().join("ca.der"), ca.certificate().der()).unwrap();
    setup.write("rsa.key", &ca.key_pem());
    let (code, report) = setup.register("ca.der --key rsa.key").await;
    assert_eq!((code, &report["certificate_id"]), (Some(0), &json!(ca.certificate().id().to_string())), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_twice_reports_already_registered() {
    let setup = Setup::new().await;
    let words = "ca.pem --key ca.key --activate";
    setup.register(words).await;
    let (code, report) = setup.register(words).await;
    assert_eq!((code, &report["status"], &report["code"]), (Some(0), &json!("already_registered"), &json!("exists")));
    assert_eq!((&report["certificate_status"], &report["certificate_mode"]), (&json!("ACTIVE"), &json!("DEFAULT")));
    assert!(report["hint"].is_null(), "{report}");
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 2);
    assert_eq!(setup.factory.ledger.batch_status("unbatched").await.unwrap().unwrap().finished(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_calls_and_records_nothing() {
    let setup = Setup::new().await;
    let words = "ca.pem --key ca.key --activate --tag plant=3 --dry-run";
    let (code, report) = setup.register(words).await;
    assert_eq!((code, &report["dry_run"], &report["status"]), (Some(0), &json!(true), &json!(null)), "{report}");
    assert_eq!(report["request"]["caCertificate"], setup.ca.pem());
    assert_eq!(
        (&report["request"]["setAsActive"], &report["request"]["certificateMode"]),
        (&json!(true), &json!("DEFAULT"))
    );
    let (_, stdout, _) = setup.ca(&format!("register {words}")).await;
    for line in ["would be registered: CN=Line CA\n", "    status       ACTIVE\n", "    tag          plant=3\n"] {
        assert!(stdout.contains(line), "{line} is not in\n{stdout}");
    }
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 0);
    for table in ["registrations", "authorities", "batches", "targets", "rate_limits"] {
        assert_eq!(setup.n_rows(table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_are_resent_once_their_ca_is_registered() {
    let mut setup = Setup::new().await;
    // Long after the test: only the registration itself can release the hold.
    setup.factory.config.breakers.issuer_probe = std::time::Duration::from_hours(1).into();
    let pems = [setup.ca.leaf("1"), setup.ca.leaf("2"), setup.ca.leaf("3")];
    setup.factory.enqueue(&pems).await;
    let serving = setup.factory.serve().await;
    let parked = [(Code::IssuerInactive, 3)];
    setup.factory.until("all are parked", async |f| f.outcomes().await.into_iter().eq(parked)).await;
    let (code, report) = setup.register("ca.pem --key ca.key --activate").await;
    assert_eq!(code, Some(0), "{report}");
    setup.factory.until("all are registered", async |f| f.outcomes().await.into_iter().eq([(Code::Ok, 3)])).await;
    serving.stop().await;
}

/// Premise: the audit did not record who registered a CA.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_who_registered_a_ca() {
    let setup = Setup::new().await;
    let (code, _, stderr) = setup.ca("register ca.pem --key ca.key --dry-run").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(setup.factory.ledger.audit_entries(None, 10).await.unwrap().is_empty(), "a dry run changes nothing");
    let mut command = setup.factory.command(&["ca", "register", "ca.pem", "--key", "ca.key", "--activate"]);
    for name in ["USER", "LOGNAME", "SUDO_USER"] {
        command.env_remove(name);
    }
    let (code, _, stderr) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = setup.factory.spawn(&["audit"]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let id = setup.ca.certificate().id().to_string();
    for words in ["ca register", "CN=Line CA", &format!("certificate id {id}"), "certificate status ACTIVE"] {
        assert!(stdout.contains(words), "{words} is not in {stdout}");
    }
    assert!(!stdout.contains(['{', '"']), "{stdout}");
    let who = setup.factory.ledger.audit_entries(None, 1).await.unwrap().remove(0).who;
    assert!(who.split_once('@').is_some_and(|(user, host)| user != "uid 0" && !host.is_empty()), "{who}");
}
