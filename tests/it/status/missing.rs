//! An announced job without an outcome is missing once nothing is in transit any more.

use std::time::Duration;

use muster::ledger::Ledger;
use muster::ledger::missing::MISSING_AFTER;
use muster::ledger::queue_readings::QueueReading;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{numbers, send, status};
use crate::database::Database;
use crate::factory::{BATCH, Factory};

/// Records, as workers would, that all queues have been empty for a time.
pub(crate) async fn set_queues_empty_for(database: &Database, time: &str) {
    let update = format!("update queue_readings set read_at = now(), empty_since = now() - interval '{time}'");
    let updated = sqlx::query(AssertSqlSafe(update)).execute(&database.pool).await.unwrap();
    assert!(updated.rows_affected() > 0, "no worker recorded a reading");
    let update = format!("update batches set announced_at = now() - interval '{time}'");
    sqlx::query(AssertSqlSafe(update)).execute(&database.pool).await.unwrap();
}

/// Lets time pass since the last readings.
async fn age(database: &Database, time: &str) {
    let update = format!("update queue_readings set read_at = read_at - interval '{time}'");
    sqlx::query(AssertSqlSafe(update)).execute(&database.pool).await.unwrap();
}

/// Creates a batch with one certificate that never arrives.
pub(super) async fn seven_of_eight() -> Factory {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(7), 8).await;
    factory.drain().await;
    factory
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_without_outcome_are_missing_after_two_idle_minutes() {
    let factory = seven_of_eight().await;
    let shown = async || {
        let numbers = numbers(&factory, &["--measure", "0s"]).await;
        (numbers["outstanding"].clone(), numbers["missing"].clone(), numbers["queues_empty_seconds"].is_number())
    };
    set_queues_empty_for(&factory.database, "1 minute").await;
    assert_eq!(shown().await, (json!(1), Value::Null, true));
    set_queues_empty_for(&factory.database, "5 minutes").await;
    assert_eq!(shown().await, (json!(1), json!(1), true));
    let (_, text, _) = status(&factory, &[BATCH, "--measure", "0s"]).await;
    let wanted = "batch batch: 7 of 8 certificates have an outcome, 1 missing: announced, no outcome, and the queues have been \
                  empty for 5 min";
    assert!(text.contains(wanted) && text.contains(" (0 dead letters, 0 quarantined)\n"), "{text}");
    age(&factory.database, "61 seconds").await;
    assert_eq!(shown().await, (json!(1), Value::Null, false), "no worker reads the queues");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_records_queue_readings_and_counts_missing_jobs() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(7), 10).await;
    factory.drain().await;
    let queue: String =
        sqlx::query_scalar("select queue from queue_readings").fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!(queue, factory.queue.url());
    set_queues_empty_for(&factory.database, "5 minutes").await;
    assert_eq!(factory.ledger.missing_jobs().await.unwrap(), Some(3));
    let (one, other) = (factory.serve().await, factory.serve().await);
    for worker in [&one, &other] {
        factory
            .until("the gauge shows it", async |_| worker.metrics().await.contains("\nmuster_batch_missing_jobs 3\n"))
            .await;
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_announced_misses_nothing() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(7), 5).await;
    factory.drain().await;
    set_queues_empty_for(&factory.database, "5 minutes").await;
    let numbers = numbers(&factory, &[]).await;
    assert_eq!((&numbers["outstanding"], &numbers["missing"]), (&json!(0), &json!(0)));
    assert_eq!(factory.ledger.missing_jobs().await.unwrap(), Some(0));
}

const EMPTY: QueueReading = QueueReading { n_messages: 0, n_dead: None };
const FULL: QueueReading = QueueReading { n_messages: 1, n_dead: None };

async fn empty_for(ledger: &Ledger) -> Option<Duration> {
    ledger.queues_empty_for().await.unwrap()
}

#[tokio::test]
async fn queues_are_empty_while_every_reading_says_so() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    assert_eq!(empty_for(&ledger).await, None, "there is no reading yet");
    ledger.note_reading("one", EMPTY).await.unwrap();
    assert!(empty_for(&ledger).await.unwrap() < MISSING_AFTER);
    set_queues_empty_for(&database, "5 minutes").await;
    ledger.note_reading("one", EMPTY).await.unwrap();
    assert!(empty_for(&ledger).await.unwrap() >= Duration::from_mins(5), "they are still empty");
    ledger.note_reading("two", EMPTY).await.unwrap();
    assert!(empty_for(&ledger).await.unwrap() < MISSING_AFTER, "the queue that became empty last counts");
    ledger.note_reading("one", FULL).await.unwrap();
    assert_eq!(empty_for(&ledger).await, None);
    ledger.note_reading("one", EMPTY).await.unwrap();
    assert!(empty_for(&ledger).await.unwrap() < MISSING_AFTER, "the time starts again");
}

#[tokio::test]
async fn unobserved_time_does_not_count_as_empty() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    ledger.note_reading("one", EMPTY).await.unwrap();
    set_queues_empty_for(&database, "5 minutes").await;
    age(&database, "2 minutes").await;
    ledger.note_reading("one", EMPTY).await.unwrap();
    assert!(empty_for(&ledger).await.unwrap() < MISSING_AFTER);
    ledger.note_reading("two", EMPTY).await.unwrap();
    let aged = async |days: i32| {
        let update = "update queue_readings set read_at = now() - make_interval(days => $1) where queue = 'two'";
        sqlx::query(update).bind(days).execute(&database.pool).await.unwrap();
        empty_for(&ledger).await
    };
    assert_eq!(aged(13).await, None, "the second may still hold messages");
    assert!(aged(15).await.is_some(), "SQS keeps no message that long");
}
