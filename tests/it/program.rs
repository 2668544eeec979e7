//! The program as users see it: its commands, exit codes, and what it serves over HTTP.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use muster::http::service::Service;

use muster::engine::serve::Until;
use muster_sandbox::specimen::{Ca, Flaw};

use crate::factory::{Factory, Program};

/// Runs the program with arguments, without any settings.
async fn muster(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster")).args(arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Requests a page from the listener of a service; returns status and body.
pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_gets_the_expected_outcomes_and_totals_add_up() {
    let (code, stdout, stderr) = muster(&["demo", "--json", "--certificates", "300", "--rate", "200"]).await;
    assert_eq!(code, Some(0), "{stderr}\n{stdout}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    let n = |field: &str| summary[field].as_u64().unwrap_or_else(|| panic!("{field} is no count in {stdout}"));
    let outcomes =
        ["registered", "already_registered", "rejected", "refused", "exhausted", "parked", "quarantined", "missing"];
    assert_eq!(outcomes.iter().map(|field| n(field)).sum::<u64>(), n("enqueued"));
    assert_eq!((n("enqueued"), n("missing"), n("duplicates")), (303, 0, 3));
    assert_eq!(n("iot_calls"), n("registered") + n("already_registered") + n("refused") + n("throttled"));
    assert!(summary["quota_used"].as_f64().is_some() && summary["seconds"].as_f64().is_some());
}

/// Runs a demo with the files of a folder; returns exit code, numbers and standard error.
async fn demo_of(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let path = folder.join("in").display().to_string();
    let (code, stdout, stderr) = muster(&[&["demo", "--json", path.as_str()], arguments].concat()).await;
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON: {stdout}\n{stderr}")), stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_accepts_your_own_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("Our CA");
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(folder.path().join("in/1.pem"), ca.leaf("1") + &ca.leaf("2")).unwrap();
    let ca_file = folder.path().join("ca.pem").display().to_string();
    let (code, numbers, stderr) = demo_of(folder.path(), &["--ca", &ca_file]).await;
    assert_eq!((code, &numbers["registered"], &numbers["missing"]), (Some(0), &2.into(), &0.into()), "{stderr}");

    std::fs::write(folder.path().join("in/2.pem"), ca.flawed(Flaw::Expired, "3")).unwrap();
    let (code, numbers, stderr) = demo_of(folder.path(), &["--ca", &ca_file]).await;
    assert_eq!((code, &numbers["enqueued"], &numbers["registered"]), (Some(3), &2.into(), &2.into()), "{stderr}");
    assert_eq!(numbers["input"]["rejected"], serde_json::json!({ "expired": 1 }));
    assert!(stderr.contains("/in/2.pem:1 expired: the certificate expired at "), "{stderr}");

    let (code, numbers, stderr) = demo_of(folder.path(), &[]).await;
    assert_eq!((code, &numbers["parked"]), (Some(3), &2.into()), "{stderr}");
    assert!(stderr.contains("hint: pass the CAs that issued these certificates with --ca FILE"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_until_empty_exits_3_if_a_job_failed() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(3)).await;
    let (code, _, log) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(0), "{log}");
    factory.enqueue(&[factory.ca.flawed(Flaw::Expired, "device")]).await;
    let (code, _, log) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(3), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_an_error_with_a_hint() {
    let factory = Factory::new(10.0).await;
    sqlx::query("drop table _sqlx_migrations").execute(&factory.database.pool).await.unwrap();
    let (code, _, log) = factory.spawn(&["serve"]).wait().await;
    assert_eq!(code, Some(1));
    assert!(log.contains("error: schema: version 0 found") && log.contains("muster migrate"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_fine() {
    let factory = Factory::new(10.0).await;
    for _ in 0..2 {
        let (code, _, log) = factory.spawn(&["migrate"]).wait().await;
        assert_eq!(code, Some(0), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_has_its_own_exit_code() {
    let mut factory = Factory::new(10.0).await;
    factory.database.url = "postgres://postgres@127.0.0.1:1/nothing".to_owned();
    let (code, _, log) = factory.spawn(&["serve"]).wait().await;
    assert_eq!(code, Some(5));
    assert!(log.contains("error: cannot reach the ledger") && log.contains("hint: check `database.url`"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_not_a_network_failure() {
    let factory = Factory::new(10.0).await;
    let mut command = factory.command(&["serve"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_PROFILE");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("no credentials") && log.contains("hint: "), "{log}");
}

#[tokio::test]
async fn wrong_arguments_are_exit_code_2() {
    let (code, _, stderr) = muster(&["serv"]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("serve"), "a suggestion: {stderr}");
}

#[tokio::test]
async fn help_lists_commands_and_exit_codes() {
    let (code, stdout, _) = muster(&["--help"]).await;
    assert_eq!(code, Some(0));
    for word in ["serve", "enqueue", "status", "demo", "sandbox", "migrate", "Exit codes:", "130"] {
        assert!(stdout.contains(word), "{word} is not in\n{stdout}");
    }
}

#[tokio::test]
async fn command_help_explains_more_than_the_options() {
    for (command, words) in [
        ("enqueue", "A certificate next to a private key is rejected"),
        ("status", "They are missing once the queues have been empty for two minutes"),
        ("demo", "Nothing leaves this machine"),
    ] {
        let (_, stdout, _) = muster(&[command, "--help"]).await;
        let text = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{words} is not in\n{stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_served_over_http() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(5)).await;
    let stop = CancellationToken::new();
    let service = Service::start(&factory.config, Until::Stopped, stop.clone()).await.unwrap();
    let address = service.admin_address().unwrap();
    let running = tokio::spawn(service.run());
    let last = "muster_sqs_delete_entries_total{result=\"ok\"} 5";
    factory.until("all are deleted", async |_| get(address, "/metrics").await.1.contains(last)).await;

    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    for series in [
        "muster_jobs_received_total{delivery=\"first\"} 5",
        "muster_jobs_finished_total{code=\"ok\",status=\"registered\"} 5",
        "muster_iot_requests_total{operation=\"RegisterCertificate\",result=\"ok\"} 5",
        "muster_limiter_rate{kind=\"ceiling\",operation=\"RegisterCertificate\",target=\"default\"} 500",
        "muster_jobs_in_flight{stage=\"waiting\"} 0",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    assert_eq!(get(address, "/livez").await, (200, "ok\n".to_owned()));
    let (status, body) = get(address, "/readyz").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["postgres"].as_str()), (200, Some("ok")));

    // Readiness names the dependency that is down; liveness depends on none.
    factory.sandbox.stop().await;
    let (status, body) = get(address, "/readyz").await;
    let readiness: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, readiness["postgres"].as_str()), (503, Some("ok")));
    assert_ne!(readiness["queue"], "ok");
    assert_eq!(get(address, "/livez").await.0, 200);
    stop.cancel();
    running.abort();
}
