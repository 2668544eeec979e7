//! `muster report`: numbers and hashes that anyone can verify.

use std::process::Stdio;

use muster::ledger::Row;
use muster_core::job::Operation;
use muster_core::outcome::Code;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::export::{lines, record_many};
use crate::factory::{BATCH, Factory};
use crate::ledger::{record, row};

async fn report(factory: &Factory) -> Value {
    let (code, data, stderr) = factory.spawn(&["report", "--json", BATCH]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&data).unwrap()
}

/// Returns the hash as a plant computes it with other tools: `sort | sha256sum`.
async fn hash(lines: &[Value]) -> String {
    let mut shell = tokio::process::Command::new("sh")
        .args(["-c", "LC_ALL=C sort | sha256sum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // In a different order than the ledger's.
    let ids: Vec<_> = lines.iter().rev().map(|line| line["certificate_id"].as_str().unwrap()).collect();
    let ids = ids.join("\n") + "\n";
    shell.stdin.take().unwrap().write_all(ids.as_bytes()).await.unwrap();
    let output = shell.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Returns a row whose id does not follow the order of its number.
fn scattered(n: u32, code: Code) -> Row {
    row(n.wrapping_mul(2_654_435_761), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_covers_the_sorted_ids_of_the_export() {
    let factory = Factory::new(1000.0).await;
    let code = |n: u32| [Code::Ok, Code::Exists, Code::Expired][n as usize % 3];
    record_many(&factory.ledger, (0..5_000).map(|n| scattered(n, code(n)))).await;
    let report = report(&factory).await;
    let successes = lines(&factory, &["--status", "registered,already_registered"]).await;
    let group = json!({ "target": "default", "account": "123456789012", "region": "eu-west-1",
        "operation": "RegisterCertificate", "n": successes.len(), "ids_sha256": hash(&successes).await });
    assert_eq!(report["certificates"], json!([group]));
    assert_eq!(successes.len(), 3_334);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_and_operation_has_its_own_hash() {
    let factory = Factory::new(1000.0).await;
    let without_ca = Operation::RegisterCertificateWithoutCA;
    let rows = (0..30).map(|n| match n % 3 {
        0 => scattered(n, Code::Ok),
        1 => Row { target: "us".into(), region: "us-east-1".into(), ..scattered(n, Code::Ok) },
        _ => Row { operation: without_ca, ..scattered(n, Code::Ok) },
    });
    record_many(&factory.ledger, rows).await;
    let report = report(&factory).await;
    let groups = report["certificates"].as_array().unwrap();
    assert_eq!(groups.len(), 3);
    let all = lines(&factory, &[]).await;
    for group in groups {
        let is_in_group =
            |line: &&Value| (&line["target"], &line["operation"]) == (&group["target"], &group["operation"]);
        let in_group: Vec<Value> = all.iter().filter(is_in_group).cloned().collect();
        assert_eq!((&group["n"], &group["ids_sha256"]), (&json!(10), &json!(hash(&in_group).await)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_shows_the_outcomes_and_its_author() {
    let factory = Factory::new(1000.0).await;
    let mut other = row(5, Code::IssuerInactive);
    other.names.source = None;
    record(
        &factory.ledger,
        vec![row(1, Code::Ok), row(2, Code::Ok), row(3, Code::Known), row(4, Code::Expired), other],
    )
    .await;
    sqlx::query("update batches set announced = 9").execute(&factory.database.pool).await.unwrap();
    let report = report(&factory).await;
    assert_eq!((&report["batch"], &report["announced"], &report["ended"]), (&json!(BATCH), &json!(9), &json!(4)));
    assert_eq!((&report["parked"], &report["outstanding"], &report["missing"]), (&json!(1), &json!(4), &Value::Null));
    let outcome = |status, code, n| json!({ "status": status, "code": code, "n": n });
    let outcomes = [
        outcome("registered", "ok", 2),
        outcome("already_registered", "known", 1),
        outcome("rejected", "expired", 1),
        outcome("parked", "issuer_inactive", 1),
    ];
    assert_eq!(report["ends"], json!(outcomes));
    let source = |source: Option<&str>, n, failed, parked| json!({ "source": source, "succeeded": n, "good": n, "failed": failed, "parked": parked });
    assert_eq!(report["sources"], json!([source(None, 0, 0, 1), source(Some("line-1"), 3, 1, 0)]));
    assert!(report["made_by"].as_str().unwrap().contains('@'), "{report}");

    let (code, text, stderr) = factory.spawn(&["report", BATCH]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.starts_with("batch batch, report of "), "{text}");
    assert!(text.contains("\n9 announced, 4 outcomes, 1 parked, 4 outstanding\n"), "{text}");
    let hash = report["certificates"][0]["ids_sha256"].as_str().unwrap();
    assert!(text.ends_with(&format!("RegisterCertificate\n             {hash}\n")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_batch_cannot_be_reported() {
    let factory = Factory::new(1000.0).await;
    let (code, _, stderr) = factory.spawn(&["report", "nobody"]).wait().await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: the ledger does not know batch `nobody`\nhint: "), "{stderr}");
}
