//! Every value covered by an index has a bound far below what a B-tree accepts.

use std::collections::BTreeSet;

use muster::ledger::row::Names;
use muster::ledger::{Page, Quarantined, Row};
use muster_core::hold::HoldKey;
use muster_core::outcome::Code;
use time::OffsetDateTime;

use crate::database::Database;
use crate::ledger::row;

/// Every variable-size value covered by an index: its table, the indexed expression, and what bounds it.
const INDEXED: [(&str, &str, &str); 38] = [
    ("authorities", "account", "12 digits"),
    ("authorities", "certificate_id", "32 bytes"),
    ("authorities", "region", "the settings"),
    ("authorities", "subject_key", "32 bytes"),
    ("batch_counters", "batch", "a name"),
    ("batch_counters", "code", "a closed set"),
    ("batch_counters", "source", "a name"),
    ("batch_counters", "status", "a closed set"),
    ("batches", "batch", "a name"),
    ("bulk_changes", "id", "32 hex digits"),
    ("holds", "hold", "a kind, a name and 64 hex digits"),
    ("listed", "certificate_id", "32 bytes"),
    ("minute_counts", "operation", "a closed set"),
    ("minute_counts", "target", "a name"),
    ("quarantine", "message_id", "SQS: 100 characters"),
    ("quarantine", "queue", "the settings"),
    ("queue_readings", "queue", "the settings"),
    ("rate_changes", "account", "12 digits"),
    ("rate_changes", "operation", "a closed set"),
    ("rate_changes", "region", "the settings"),
    ("rate_limits", "account", "12 digits"),
    ("rate_limits", "operation", "a closed set"),
    ("rate_limits", "region", "the settings"),
    ("registrations", "account", "12 digits"),
    ("registrations", "batch", "a name"),
    ("registrations", "certificate_id", "32 bytes"),
    ("registrations", "code", "a closed set"),
    ("registrations", "operation", "a closed set"),
    ("registrations", "ref", "a name"),
    ("registrations", "region", "the settings"),
    ("registrations", "status", "a closed set"),
    ("registrations", "subject", "32 bytes"),
    ("registrations", "target", "a name"),
    ("registrations", "waits_for", "a kind, a name and 64 hex digits"),
    ("replays", "md5(filter)", "32 hex digits"),
    ("sessions", "session", "32 bytes"),
    ("targets", "target", "a name"),
    ("workers", "worker", "16 hex digits"),
];

/// An index over an unbounded value can make a row impossible to record (SQLSTATE 54000): whoever adds an index states
/// here what bounds its values.
#[tokio::test]
async fn every_indexed_value_has_a_bound() {
    let database = Database::fresh().await;
    let found: Vec<(String, String)> = sqlx::query_as(
        "select distinct x.indrelid::regclass::text, pg_get_indexdef(x.indexrelid, a.attnum, true)
        from pg_index x
        join pg_attribute a on a.attrelid = x.indexrelid
        join pg_class c on c.oid = x.indrelid
        where c.relnamespace = 'public'::regnamespace and c.relname <> '_sqlx_migrations' and a.attlen = -1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let found: BTreeSet<(&str, &str)> = found.iter().map(|(table, value)| (table.as_str(), value.as_str())).collect();
    assert_eq!(found, INDEXED.iter().map(|&(table, value, _)| (table, value)).collect());
}

/// Returns a name of maximum length that does not compress.
fn longest_name(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric()).take(muster_core::job::NAME_MAX).collect()
}

#[tokio::test]
async fn a_row_with_names_of_maximum_length_is_recorded() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let [batch, target, source, reference] = [1, 2, 3, 4].map(longest_name);
    let longest = |n, code| Row {
        batch: batch.clone(),
        target: target.clone(),
        names: Names { source: Some(source.clone()), reference: Some(reference.clone()) },
        serial: Some(super::serial(48_000)),
        ..row(n, code)
    };
    let mut parked = longest(1, Code::IssuerInactive);
    parked.outcome.waits_for = Some(HoldKey::issuer(&target.parse().unwrap(), [7; 32]));
    let quarantined = Quarantined {
        queue: format!("https://sqs.us-gov-west-1.amazonaws.com/123456789012/{}", &target[..80]),
        message_id: target[..100].to_owned(),
        reason: "not_json",
        detail: "x".repeat(100_000),
        body: "x".repeat(1_000_000),
        sent_at: OffsetDateTime::now_utc(),
    };
    let page = Page {
        rows: vec![parked, longest(2, Code::Ok), longest(3, Code::Expired)],
        announced: [(batch.clone(), Some(u64::MAX))].into(),
        quarantined: vec![quarantined],
        ..Page::default()
    };
    ledger.record(&page).await.unwrap();
    assert_eq!(ledger.batch_status(&batch).await.unwrap().unwrap().finished(), 2);
}
