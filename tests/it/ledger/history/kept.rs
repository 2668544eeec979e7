//! What the history returns of the minutes that it keeps, and when it deletes them.

use std::time::Duration;

use time::OffsetDateTime;

use super::{DAY, HOUR, MINUTE, counts_of};
use crate::database::Database;
use crate::factory::Factory;

/// How long a test waits for an event.
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes a row into the history.
async fn insert(database: &Database, ago: &str, writer: i64, n_registered: i64) {
    let insert = "insert into minute_counts (minute, target, operation, writer, n_registered)
        values (date_trunc('minute', now()) - $1::text::interval, 'default', 'RegisterCertificate', $2, $3)";
    sqlx::query(insert).bind(ago).bind(writer).bind(n_registered).execute(&database.pool).await.unwrap();
}

#[tokio::test]
async fn buckets_are_aligned_whole_and_oldest_first() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let fill = "insert into minute_counts (minute, target, operation, writer, n_registered)
        select date_trunc('minute', now()) - i * interval '1 minute', 'default', 'RegisterCertificate', writer, 1
        from generate_series(0, 179) as i, generate_series(1, 2) as writer";
    sqlx::raw_sql(fill).execute(&database.pool).await.unwrap();
    let points = ledger.history(2 * HOUR, 30 * MINUTE).await.unwrap();
    let times: Vec<_> = points.iter().map(|point| point.at.unix_timestamp()).collect();
    assert!(times.iter().all(|at| at % 1800 == 0), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1800), "{times:?}");
    // The last bucket is not over yet.
    let whole = &points[..points.len() - 1];
    assert_eq!(whole.iter().map(|point| point.n_registered).collect::<Vec<_>>(), [60; 4]);
}

#[tokio::test]
async fn odd_times_are_kept_within_bounds() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    insert(&database, "1 minute", 1, 5).await;
    for (since, bucket) in
        [(Duration::MAX, Duration::ZERO), (Duration::MAX, Duration::MAX), (HOUR, Duration::from_millis(1))]
    {
        let points = ledger.history(since, bucket).await.unwrap();
        assert_eq!(points.iter().map(counts_of).collect::<Vec<_>>(), [[5, 0, 0, 0, 0]], "{since:?} {bucket:?}");
    }
}

#[tokio::test]
async fn minutes_older_than_31_days_are_deleted() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for (ago, n) in [("31 days 2 minutes", 1), ("90 days", 2), ("30 days 23 hours", 4), ("0", 8)] {
        insert(&database, ago, 1, n).await;
    }
    assert_eq!(ledger.forget_minutes().await.unwrap(), 2);
    assert_eq!(ledger.forget_minutes().await.unwrap(), 0);
    let kept: Vec<i64> = sqlx::query_scalar("select n_registered from minute_counts order by minute")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, [4, 8]);
    let began = ledger.history_began().await.unwrap().unwrap();
    let age = OffsetDateTime::now_utc() - began;
    assert!(age > 30 * DAY && age < 31 * DAY, "{age}");
}

#[tokio::test]
async fn one_call_deletes_a_bounded_number_of_minutes() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let fill = "insert into minute_counts (minute, target, operation, writer)
        select now() - interval '40 days', 'default', 'RegisterCertificate', i
        from generate_series(1, 10001) as i";
    sqlx::raw_sql(fill).execute(&database.pool).await.unwrap();
    assert_eq!(ledger.forget_minutes().await.unwrap(), 10_000);
    assert_eq!(ledger.forget_minutes().await.unwrap(), 1);
}

/// A worker deletes old minutes by itself, soon after it starts.
#[tokio::test(flavor = "multi_thread")]
async fn workers_delete_what_is_no_longer_kept() {
    let factory = Factory::new(1000.0).await;
    insert(&factory.database, "40 days", 1, 1).await;
    let old_plan = "insert into bulk_changes (id, action, filter, n_expected, is_more, planned_by, planned_at)
        values ('old', 'replay', '{}', 1, false, 'ann', now() - interval '2 days')";
    sqlx::raw_sql(old_plan).execute(&factory.database.pool).await.unwrap();
    let serving = factory.serve().await;
    let tidied = async {
        let left = "select (select count(*) from minute_counts) + (select count(*) from bulk_changes)";
        while sqlx::query_scalar::<_, i64>(left).fetch_one(&factory.database.pool).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tidied).await.expect("old rows stay");
    serving.stop().await;
}

/// How often the table, and its primary key, were scanned by connections that are closed.
async fn scans(database: &Database) -> (i64, i64) {
    let query = "select t.seq_scan, i.idx_scan
        from pg_stat_user_tables t
        join pg_stat_user_indexes i using (relid)
        where t.relname = 'minute_counts' and i.indexrelname = 'minute_counts_pkey'";
    sqlx::query_as(query).fetch_one(&database.pool).await.unwrap()
}

/// Premise: 31 days of a few workers are some hundred thousand rows, and a page reads the last hour every few seconds.
#[tokio::test]
async fn the_history_of_an_hour_is_read_by_the_primary_key() {
    let database = Database::fresh().await;
    let fill = "insert into minute_counts (minute, target, operation, writer, n_registered)
        select date_trunc('minute', now()) - i * interval '1 minute', 'default', 'RegisterCertificate', writer, 1
        from generate_series(0, 31 * 24 * 60 - 1) as i, generate_series(1, 2) as writer";
    for statement in [fill, "analyze minute_counts"] {
        sqlx::query(statement).execute(&database.pool).await.unwrap();
    }
    let before = scans(&database).await;
    let ledger = database.ledger().await;
    assert!(ledger.history(HOUR, MINUTE).await.unwrap().len() >= 60);
    assert!(ledger.history_began().await.unwrap().is_some());
    // A connection reports its scans before it is gone; older servers count them a little later.
    ledger.close().await;
    let reported = async {
        let connected = "select count(*) from pg_stat_activity
            where application_name = 'muster' and datname = current_database()";
        while sqlx::query_scalar::<_, i64>(connected).fetch_one(&database.pool).await.unwrap() > 0
            || scans(&database).await == before
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        scans(&database).await
    };
    let (table, index) = tokio::time::timeout(PATIENCE, reported).await.expect("no scan is reported");
    // The planner may look into the index too.
    assert!(table == before.0 && index >= before.1 + 2, "{before:?} {table} {index}");
}
