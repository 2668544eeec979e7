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
    let (code, data, said) = factory.spawn(&["report", "--json", BATCH]).wait().await;
    assert_eq!(code, Some(0), "{said}");
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
async fn the_hash_is_the_one_of_the_sorted_ids_of_the_export() {
    let factory = Factory::new(1000.0).await;
    let code = |n: u32| [Code::Ok, Code::Exists, Code::Expired][n as usize % 3];
    record_many(&factory.ledger, (0..5_000).map(|n| scattered(n, code(n)))).await;
    let report = report(&factory).await;
    let good = lines(&factory, &["--status", "registered,already_registered"]).await;
    let place = json!({ "target": "default", "account": "123456789012", "region": "eu-west-1",
        "operation": "RegisterCertificate", "n": good.len(), "ids_sha256": hash(&good).await });
    assert_eq!(report["certificates"], json!([place]));
    assert_eq!(good.len(), 3_334);
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
    let places = report["certificates"].as_array().unwrap();
    assert_eq!(places.len(), 3);
    let all = lines(&factory, &[]).await;
    for place in places {
        let is_here = |line: &&Value| (&line["target"], &line["operation"]) == (&place["target"], &place["operation"]);
        let here: Vec<Value> = all.iter().filter(is_here).cloned().collect();
        assert_eq!((&place["n"], &place["ids_sha256"]), (&json!(10), &json!(hash(&here).await)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_tells_what_became_of_the_batch_and_who_made_it() {
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
    let end = |status, code, n| json!({ "status": status, "code": code, "n": n });
    let ends = [
        end("registered", "ok", 2),
        end("already_registered", "known", 1),
        end("rejected", "expired", 1),
        end("parked", "issuer_inactive", 1),
    ];
    assert_eq!(report["ends"], json!(ends));
    let source = |source: Option<&str>, good, failed, parked| json!({ "source": source, "good": good, "failed": failed, "parked": parked });
    assert_eq!(report["sources"], json!([source(None, 0, 0, 1), source(Some("line-1"), 3, 1, 0)]));
    assert!(report["made_by"].as_str().unwrap().contains('@'), "{report}");

    let (code, text, said) = factory.spawn(&["report", BATCH]).wait().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(text.starts_with("batch batch, report of "), "{text}");
    assert!(text.contains("\n9 announced, 4 outcomes, 1 parked, 4 outstanding\n"), "{text}");
    let hash = report["certificates"][0]["ids_sha256"].as_str().unwrap();
    assert!(text.ends_with(&format!("RegisterCertificate\n             {hash}\n")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_nobody_named_cannot_be_reported() {
    let factory = Factory::new(1000.0).await;
    let (code, _, said) = factory.spawn(&["report", "nobody"]).wait().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("error: the ledger does not know batch `nobody`\nhint: "), "{said}");
}
