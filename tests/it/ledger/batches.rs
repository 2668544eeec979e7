//! What the ledger returns about a batch.

use std::collections::BTreeMap;

use muster::ledger::Page;
use muster::ledger::row::Row;
use muster_core::job::Operation;
use muster_core::outcome::Code;

use super::{page, record, row};
use crate::database::Database;

#[tokio::test]
async fn the_largest_announced_size_wins() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for size in [None, Some(5), Some(120_000), Some(7), None] {
        let announced = BTreeMap::from([("batch".to_owned(), size)]);
        ledger.record(&Page { announced, ..page(vec![row(1, Code::Ok)]) }).await.unwrap();
    }
    assert_eq!(ledger.batch_status("batch").await.unwrap().unwrap().announced, Some(120_000));
}

#[tokio::test]
async fn an_unknown_batch_has_no_status() {
    let database = Database::fresh().await;
    assert!(database.ledger().await.batch_status("nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn each_failure_code_has_an_example_from_its_batch() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let elsewhere = Row { batch: "another".into(), ..row(0, Code::Expired) };
    record(&ledger, vec![row(3, Code::Expired), row(2, Code::Expired), row(4, Code::Timeout), row(5, Code::Ok)]).await;
    record(&ledger, vec![elsewhere]).await;
    let examples = ledger.batch_examples("batch", &[Code::Expired, Code::Timeout, Code::Transport]).await.unwrap();
    let found: Vec<_> = examples.iter().map(|example| (example.code, example.reference.as_deref())).collect();
    assert_eq!(found, [(Code::Expired, Some("SN-2")), (Code::Timeout, Some("SN-4"))]);
    assert_eq!((examples[0].subject, examples[0].detail.as_deref()), (row(2, Code::Ok).subject, Some("detail")));
}

#[tokio::test]
async fn the_targets_and_operations_of_a_batch_are_listed_once() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for (n, target) in [(1, "us"), (2, "eu"), (3, "us"), (4, "ap")] {
        record(&ledger, vec![Row { target: target.into(), ..row(n, Code::Ok) }]).await;
    }
    let of_ca = Operation::RegisterCACertificate;
    record(&ledger, vec![Row { target: "eu".into(), operation: of_ca, ..row(5, Code::Ok) }]).await;
    let found = ledger.batch_operations("batch").await.unwrap();
    let device = |target: &str| (target.to_owned(), Operation::RegisterCertificate);
    assert_eq!(found, [device("ap"), ("eu".to_owned(), of_ca), device("eu"), device("us")]);
    assert!(ledger.batch_operations("nobody").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_most_recent_batch_is_listed_first() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for batch in ["b", "c", "a"] {
        let announced = BTreeMap::from([(batch.to_owned(), None)]);
        let rows = vec![Row { batch: batch.into(), ..row(1, Code::Ok) }];
        ledger.record(&Page { announced, rows, ..Page::default() }).await.unwrap();
    }
    assert_eq!(ledger.recent_batches(2).await.unwrap(), ["a", "c"]);
}

#[tokio::test]
async fn a_batch_can_be_deleted_in_chunks_in_key_order() {
    let database = Database::fresh().await;
    record(&database.ledger().await, (0..25).map(|n| row(n, Code::Ok)).collect()).await;
    let chunk = "delete from registrations
        where (batch, target, operation, subject) in (
            select batch, target, operation, subject
            from registrations
            where batch = 'batch'
            order by batch, target, operation, subject
            limit 10
        )";
    let mut deleted = Vec::new();
    loop {
        let n = sqlx::query(chunk).execute(&database.pool).await.unwrap().rows_affected();
        deleted.push(n);
        if n == 0 {
            break;
        }
    }
    assert_eq!(deleted, [10, 10, 5, 0]);
}
