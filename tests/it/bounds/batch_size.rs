//! `batchSize` at and beyond its maximum, in messages and in rows written by an older program.

use muster::ledger::Page;
use muster_core::job::{BATCH_SIZE_MAX, Job};
use serde_json::json;

use crate::factory::{BATCH, Factory};
use crate::ledger::page;
use crate::status::missing::set_queues_empty_for;
use crate::status::{numbers, status};

/// Values of `batchSize` in an otherwise valid job, and how the error shows them.
const WRONG: [(&str, &str); 6] = [
    ("1000000000001", "1000000000001"),
    ("18446744073709551615", "18446744073709551615"),
    ("18446744073709551616", "1.8446744073709552e19"),
    ("1e300", "1e300"),
    ("-1", "-1"),
    ("1.5", "1.5"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_out_of_range_batch_size_is_quarantined_with_its_value() {
    let factory = Factory::new(1000.0).await;
    let body = |size: &str| {
        let job = Job { batch_size: Some(7), ..Factory::job(&factory.ca.leaf("device")) }.to_body();
        job.replace("\"batchSize\":7", &format!("\"batchSize\":{size}"))
    };
    let greatest = body(&BATCH_SIZE_MAX.to_string());
    factory.send(&WRONG.map(|(size, _)| body(size))).await;
    factory.send(&[greatest]).await;
    factory.drain().await;
    let mut found: Vec<(String, String)> =
        sqlx::query_as("select reason, detail from quarantine").fetch_all(&factory.database.pool).await.unwrap();
    let mut wanted = WRONG.map(|(_, found)| {
        let detail = format!("batchSize is {found}, expected a whole number from 0 to 1000000000000 at line 1 column ");
        ("not_a_job".to_owned(), detail)
    });
    found.sort();
    wanted.sort();
    assert_eq!(found.len(), wanted.len());
    for ((reason, detail), (wanted_reason, wanted_detail)) in found.iter().zip(&wanted) {
        assert_eq!(reason, wanted_reason);
        assert!(detail.starts_with(wanted_detail), "{detail}");
    }
    assert_eq!(numbers(&factory, &[]).await["announced"], json!(BATCH_SIZE_MAX));
    assert_eq!(factory.ledger.missing_jobs().await.unwrap(), None, "messages may still be in the queue");
}

/// Premise: before this bound existed, the program recorded 2^63-1 for every greater size. The sum of two such values
/// does not fit into a `bigint`.
#[tokio::test(flavor = "multi_thread")]
async fn huge_announced_sizes_break_neither_status_nor_metrics() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(2)).await;
    factory.drain().await;
    for batch in ["second", "third"] {
        let announced = [(batch.to_owned(), None)].into();
        factory
            .ledger
            .record(&Page { announced, ..page(vec![crate::ledger::row(1, muster_core::outcome::Code::Ok)]) })
            .await
            .unwrap();
    }
    sqlx::query("update batches set announced = 9223372036854775807").execute(&factory.database.pool).await.unwrap();
    set_queues_empty_for(&factory.database, "5 minutes").await;

    assert_eq!(
        factory.ledger.missing_jobs().await.unwrap(),
        Some(i64::MAX.cast_unsigned()),
        "the count is capped at the maximum"
    );
    let worker = factory.serve().await;
    // Prometheus has no integers: it prints the nearest number that it can represent.
    factory
        .until("the gauge shows the number", async |_| {
            worker.metrics().await.contains("\nmuster_batch_missing_jobs 922337203685477")
        })
        .await;
    worker.stop().await;
    let (code, text, stderr) = status(&factory, &[]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(
        text.matches("9,223,372,036,854,775,807").count(),
        6,
        "three announced sizes, two counts of missing jobs and their total: {text}"
    );
    let (code, text, stderr) = status(&factory, &[BATCH, "--measure", "10ms"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("batch batch: 3 of 9,223,372,036,854,775,807 certificates have an outcome, "), "{text}");
    let numbers = numbers(&factory, &["--measure", "10ms"]).await;
    assert_eq!((&numbers["announced"], &numbers["missing"]), (&json!(i64::MAX), &json!(i64::MAX - 3)));
    for command in [vec!["report", BATCH], vec!["status", BATCH, "--check"], vec!["replay", BATCH, "--dry-run"]] {
        let (code, _, stderr) = factory.spawn(&command).wait().await;
        assert!(
            code.is_some_and(|code| code < 100) && !stderr.contains("panicked") && !stderr.contains("postgres:"),
            "{command:?}: {stderr}"
        );
    }
}
