//! CAs that cannot be registered, and the errors; the private key is never printed.

use muster::config::TargetConfig;
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::json;

use super::Setup;
use crate::factory::Program;

fn error(code: &str, status: u16) -> Fault {
    let effect = Effect::Error { status, code: code.to_owned(), message: "as ordered".to_owned(), executed: false };
    Fault::new(ApiOperation::RegisterCACertificate, effect)
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_default_without_proof_is_a_usage_error_with_the_code() {
    let setup = Setup::new().await;
    let (code, stdout, stderr) = setup.ca("register ca.pem").await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("pass --key or --verification"), "{stderr}");
    assert!(stderr.contains(&format!("hint: the registration code is {}", setup.factory.sandbox.registration_code())));
    let (code, _, stderr) = setup.ca("register ca.pem --key ca.key --mode sni-only").await;
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = setup.ca("register ca.pem --mode sni-only --target nowhere").await;
    assert!(
        code == Some(2) && stderr.contains("target `nowhere` is not in the settings, which have default"),
        "{stderr}"
    );
    assert_eq!(setup.n_rows("registrations").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_ca_is_rejected_without_a_call() {
    let setup = Setup::new().await;
    setup.write("other.key", &Ca::new("Line CA").key_pem());
    let (code, _, stderr) = setup.ca("register ca.pem --key other.key").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("error: the private key does not belong to the CA CN=Line CA\nhint: "), "{stderr}");
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_aws_would_refuse_are_rejected_without_a_call() {
    let setup = Setup::new().await;
    let foreign_code = setup.ca.verification(&"0".repeat(64));
    let leaf = setup.ca.leaf("device");
    for (file, text, wanted) in [
        ("leaf.pem", leaf.as_str(), Code::CaNotACa),
        ("text.pem", "no certificate", Code::NotACertificate),
        ("both.pem", &(setup.ca.pem() + &setup.ca.key_pem()), Code::PrivateKey),
    ] {
        setup.write(file, text);
        let (code, report) = setup.register(&format!("{file} --key ca.key")).await;
        assert_eq!(
            (code, &report["status"], &report["code"]),
            (Some(3), &json!("rejected"), &json!(wanted.as_str())),
            "{report}"
        );
        assert!(!report.to_string().contains(setup.ca.key_pem().lines().nth(1).unwrap()), "{report}");
    }
    setup.write("proof.pem", &foreign_code);
    let (code, stdout, stderr) = setup.ca("register ca.pem --verification proof.pem").await;
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stdout.contains("rejected: CN=Line CA\n    code         registration_code_mismatch\n"), "{stdout}");
    assert!(!stdout.contains("status  "), "a CA that is not registered has no status: {stdout}");
    assert_eq!((setup.n_calls(ApiOperation::RegisterCACertificate), setup.n_rows("registrations").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_template_is_refused_and_recorded() {
    let setup = Setup::new().await;
    let (code, report) = setup.register("ca.pem --mode sni-only --template nothing").await;
    assert_eq!(
        (code, &report["status"], &report["code"]),
        (Some(3), &json!("refused"), &json!("resource_not_found")),
        "{report}"
    );
    assert!(report["hint"].as_str().unwrap().contains("template"), "{report}");
    let failed = setup.factory.ledger.failed_authorities().await.unwrap();
    let found: Vec<_> = failed.iter().map(|ca| (ca.subject.as_deref(), ca.code)).collect();
    assert_eq!(found, [(Some("CN=Line CA"), Code::ResourceNotFound)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eleventh_ca_of_one_name_is_refused() {
    let setup = Setup::new().await;
    for n in 0..10 {
        let other = Ca::new("Line CA");
        setup.write("other.pem", &other.pem());
        let (code, report) = setup.register("other.pem --mode sni-only").await;
        assert_eq!(code, Some(0), "{n}: {report}");
    }
    let (code, report) = setup.register("ca.pem --mode sni-only").await;
    assert_eq!(
        (code, &report["status"], &report["code"]),
        (Some(3), &json!("exhausted"), &json!("limit_exceeded")),
        "{report}"
    );
    for authority in setup.factory.ledger.authority_reports().await.unwrap() {
        let id = authority.authority.certificate_id.to_string();
        assert!(report["hint"].as_str().unwrap().contains(&id), "{report}");
    }
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_retried_and_a_throttle_cuts_the_shared_rate() {
    let setup = Setup::new().await;
    let faults = setup.factory.sandbox.faults();
    faults.set(error("ServiceUnavailableException", 503).calls(2)).unwrap();
    let (code, report) = setup.register("ca.pem --mode sni-only").await;
    assert_eq!((code, &report["code"]), (Some(0), &json!("ok")), "{report}");
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 3);

    setup.write("other.pem", &Ca::new("Other CA").pem());
    faults.set(error("ThrottlingException", 400).calls(1)).unwrap();
    let (code, report) = setup.register("other.pem --mode sni-only").await;
    assert_eq!((code, &report["code"]), (Some(0), &json!("ok")), "{report}");
    let is_cut: bool = sqlx::query_scalar("select rate < ceiling from rate_limits")
        .fetch_one(&setup.factory.database.pool)
        .await
        .unwrap();
    assert!(is_cut, "the throttle cut the rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_run_out_and_a_lost_answer_is_recognized() {
    let setup = Setup::new().await;
    let faults = setup.factory.sandbox.faults();
    let fault = faults.set(error("InternalFailureException", 500).calls(100)).unwrap();
    let (code, report) = setup.register("ca.pem --mode sni-only").await;
    assert_eq!(
        (code, &report["status"], &report["code"]),
        (Some(5), &json!("exhausted"), &json!("server_error")),
        "{report}"
    );
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 8);
    assert!(faults.clear(fault));

    faults.set(Fault::new(ApiOperation::RegisterCACertificate, Effect::Reset { executed: true }).calls(1)).unwrap();
    let (code, report) = setup.register("ca.pem --mode sni-only --activate").await;
    assert_eq!(
        (code, &report["code"], &report["certificate_status"]),
        (Some(0), &json!("answer_lost"), &json!("ACTIVE"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_not_retried_and_fails_no_ca() {
    let setup = Setup::new().await;
    setup.factory.sandbox.faults().set(error("AccessDeniedException", 403).calls(100)).unwrap();
    let (code, _, stderr) = setup.ca("register ca.pem --mode sni-only").await;
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("RegisterCACertificate: AccessDeniedException") && stderr.contains("hint: "), "{stderr}");
    assert_eq!((setup.n_calls(ApiOperation::RegisterCACertificate), setup.n_rows("registrations").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_aws_and_unreachable_ledger_exit_with_5() {
    let mut setup = Setup::new().await;
    setup.factory.database.url = "postgres://postgres@127.0.0.1:1/nothing".to_owned();
    let (code, _, stderr) = setup.ca("register ca.pem --mode sni-only").await;
    assert!(code == Some(5) && stderr.contains("cannot reach the ledger"), "{stderr}");
    let mut setup = Setup::new().await;
    let away = TargetConfig {
        endpoint_url: Some("http://127.0.0.1:1".to_owned()),
        ..setup.factory.config.targets["default"].clone()
    };
    setup.factory.config.targets.insert("away".to_owned(), away);
    for words in ["register ca.pem --mode sni-only --target away", "code --target away"] {
        let (code, _, stderr) = setup.ca(words).await;
        assert!(code == Some(5) && stderr.contains("cannot ask AWS who we are"), "{words}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_cannot_change_its_account() {
    let setup = Setup::new().await;
    setup.factory.ledger.claim_target("default", "111111111111", "us-east-1").await.unwrap();
    for dry in ["", " --dry-run"] {
        let (code, _, stderr) = setup.ca(&format!("register ca.pem --mode sni-only{dry}")).await;
        assert!(code == Some(1) && stderr.contains("target `default` is account 111111111111"), "{stderr}");
    }
    assert_eq!(setup.n_calls(ApiOperation::RegisterCACertificate), 0);
}

/// Premise: the key is read before anything can go wrong.
#[tokio::test(flavor = "multi_thread")]
async fn the_private_key_is_never_printed_or_stored() {
    let setup = Setup::new().await;
    let key = setup.ca.key_pem();
    setup.write("half.key", &key[..key.len() / 2]);
    setup.write("broken.key", &key.replacen('M', "*", 1));
    setup.write("other.key", &Ca::new("Other CA").key_pem());
    let secret: Vec<_> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let mut output = String::new();
    for words in [
        "register ca.pem --key half.key",
        "register ca.pem --key broken.key",
        "register ca.pem --key ca.pem",
        "register ca.pem --verification ca.key",
        "register ca.key --key ca.key",
        "register ca.pem --key ca.key --template-body ca.key --role arn:aws:iam::000000000000:role/line",
        "register ca.pem --key ca.key --dry-run",
        "register ca.pem --key ca.key --dry-run --json",
        "register ca.pem --key ca.key --activate",
        "register ca.pem --key ca.key --json",
        "list",
        "list --json",
    ] {
        let mut command = setup.factory.command(&[&["ca"][..], &words.split(' ').collect::<Vec<_>>()].concat());
        command.env("MUSTER__LOG__FILTER", "trace").env("RUST_BACKTRACE", "1");
        let (_, stdout, stderr) = Program(command.spawn().unwrap()).wait().await;
        output.extend([words, "\n", &stdout, &stderr]);
    }
    for table in ["registrations", "authorities", "batches"] {
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select to_jsonb(t)::text from {table} t")));
        let rows: Vec<String> = rows.fetch_all(&setup.factory.database.pool).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        output.extend(rows);
    }
    for line in secret {
        assert!(!output.contains(line), "a line of the key is printed or stored:\n{output}");
    }
    assert!(setup.registered().is_some());
}
