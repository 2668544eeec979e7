//! The history: what is counted in which minute, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::engine::throttles::Throttles;
use muster::ledger::history::{HistoryPoint, ThrottleCounts};
use muster::ledger::row::Row;
use muster::ledger::written::Marks;
use muster::ledger::{Ledger, Page};
use muster_core::job::Operation;
use muster_core::outcome::{Code, Status};
use muster_sandbox::{ApiOperation, Effect, Fault};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::{CODES, assert_counters_equal_the_rows, counts, page, record, row};
use crate::database::Database;
use crate::factory::Factory;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How long a test waits for an event.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sums of a history: registered, already registered, failed, parked, throttled.
type Sums = [u64; 5];

async fn sums(ledger: &Ledger) -> Sums {
    let points = ledger.history(HOUR, MINUTE).await.unwrap();
    points.iter().map(counts_of).fold([0; 5], |sums, counts| std::array::from_fn(|i| sums[i] + counts[i]))
}

fn counts_of(point: &HistoryPoint) -> Sums {
    [point.n_registered, point.n_already_registered, point.n_failed, point.n_parked, point.n_throttled]
}

/// Writes a row into the history.
async fn insert(database: &Database, ago: &str, writer: i64, n_registered: i64) {
    let insert = "insert into minute_counts (minute, target, operation, writer, n_registered)
        values (date_trunc('minute', now()) - $1::text::interval, 'default', 'RegisterCertificate', $2, $3)";
    sqlx::query(insert).bind(ago).bind(writer).bind(n_registered).execute(&database.pool).await.unwrap();
}

#[tokio::test]
async fn each_status_is_counted_by_target_and_operation() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    assert_eq!(ledger.history(HOUR, MINUTE).await.unwrap(), []);
    assert_eq!(ledger.history_began().await.unwrap(), None);
    let began = OffsetDateTime::now_utc();
    let elsewhere = Row { target: "us".into(), ..row(7, Code::Ok) };
    let other = Row { operation: Operation::RegisterCertificateWithoutCA, ..row(8, Code::Timeout) };
    let mut rows: Vec<_> = (1..).zip(CODES).map(|(n, code)| row(n, code)).collect();
    rows.extend([elsewhere, other]);
    record(&ledger, rows).await;
    // One bucket of a day has all, whatever the minute is.
    let points = ledger.history(MINUTE, DAY).await.unwrap();
    let found: Vec<_> = points.iter().map(|point| (point.target.as_str(), point.operation, counts_of(point))).collect();
    assert_eq!(
        found,
        [
            ("default", Operation::RegisterCertificate, [1, 1, 3, 1, 0]),
            ("default", Operation::RegisterCertificateWithoutCA, [0, 0, 1, 0, 0]),
            ("us", Operation::RegisterCertificate, [1, 0, 0, 0, 0]),
        ]
    );
    let kept_since = ledger.history_began().await.unwrap().unwrap();
    assert!(kept_since > began - 2 * MINUTE && kept_since <= OffsetDateTime::now_utc());
    assert_eq!(kept_since.unix_timestamp() % 60, 0);
}

/// One of `n` rows and an outcome for it, from a random number.
fn random_row(random: &mut fastrand::Rng, n: u32) -> Row {
    let code = CODES[random.usize(..CODES.len())];
    Row { message_id: format!("message-{}", random.u64(..)), ..row(random.u32(..n), code) }
}

/// Outcomes of the same certificates from several workers, in any order: duplicates, failures that succeed later, and
/// successes followed by failures.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_equals_the_counters_after_concurrent_writers() {
    const WRITERS: u64 = 4;
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let ledger = ledger.clone();
        writers.spawn(async move {
            let (mut random, mut marks) = (fastrand::Rng::with_seed(writer), Marks::default());
            for _ in 0..15 {
                let rows = (0..20).map(|_| random_row(&mut random, 150)).collect();
                // One writer in four has no marks.
                let mark = (writer > 0).then(|| marks.next_mark());
                ledger.record(&Page { mark, ..page(rows) }).await.unwrap();
            }
        });
    }
    while let Some(joined) = writers.join_next().await {
        joined.unwrap();
    }
    assert_counters_equal_the_rows(&database).await;
    let by_code = counts(&ledger).await;
    let n_successes: u64 = by_code.iter().filter(|(code, _)| code.status().is_success()).map(|(_, n)| n).sum();
    let [registered, already_registered, failed, parked, _] = sums(&ledger).await;
    assert_eq!(registered + already_registered, n_successes, "each success is counted once, and none is taken back");
    let n = |status: Status| by_code.iter().filter(|(code, _)| code.status() == status).map(|(_, n)| n).sum::<u64>();
    assert!(registered <= n(Status::Registered) && parked >= n(Status::Parked), "{by_code:?}");
    assert!(failed >= n(Status::Rejected) + n(Status::Refused) + n(Status::Exhausted), "{by_code:?}");
    let n_writers: i64 =
        sqlx::query_scalar("select count(distinct writer) from minute_counts").fetch_one(&database.pool).await.unwrap();
    assert_eq!(n_writers.cast_unsigned(), WRITERS);
}

#[tokio::test]
async fn a_failure_followed_by_a_success_counts_as_both() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Timeout)]).await;
    record(&ledger, vec![row(1, Code::Ok)]).await;
    assert_eq!(sums(&ledger).await, [1, 0, 1, 0, 0]);
    record(&ledger, vec![row(1, Code::Expired)]).await;
    assert_eq!(sums(&ledger).await, [1, 0, 1, 0, 0], "the success stays");
    record(&ledger, vec![row(2, Code::Exists)]).await;
    record(&ledger, vec![row(2, Code::Ok)]).await;
    assert_eq!(sums(&ledger).await, [1, 1, 1, 0, 0], "the certificate was a success before");
}

#[tokio::test]
async fn a_duplicate_counts_nothing() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let rows = || CODES.iter().zip(1..).map(|(code, n)| row(n, *code));
    record(&ledger, rows().collect()).await;
    let once = sums(&ledger).await;
    assert_eq!(once, [1, 1, 3, 1, 0]);
    record(&ledger, rows().collect()).await;
    record(&ledger, rows().map(|row| Row { message_id: "another".into(), ..row }).collect()).await;
    assert_eq!(sums(&ledger).await, once);
    record(&ledger, vec![row(3, Code::Timeout)]).await;
    assert_eq!(sums(&ledger).await, [1, 1, 4, 1, 0], "another failure than before is new");
}

#[tokio::test]
async fn a_resent_job_that_fails_again_counts_again() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Timeout), row(2, Code::IssuerInactive)]).await;
    let resend = "update registrations set sent_again_at = now()";
    sqlx::raw_sql(resend).execute(&database.pool).await.unwrap();
    for _ in 0..2 {
        record(&ledger, vec![row(1, Code::Timeout), row(2, Code::IssuerInactive)]).await;
        assert_eq!(sums(&ledger).await, [0, 0, 2, 2, 0], "the second time, nothing was resent");
    }
}

/// Premise: a recorder writes a page again if it does not know whether the COMMIT succeeded.
#[tokio::test]
async fn a_page_written_twice_counts_once() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let rows = vec![row(1, Code::Ok), row(2, Code::Expired), row(2, Code::Timeout)];
    let marked = Page { mark: Some(Marks::default().next_mark()), ..page(rows) };
    for _ in 0..3 {
        ledger.record(&marked).await.unwrap();
        assert_eq!(sums(&ledger).await, [1, 0, 1, 0, 0]);
        // Now only the mark keeps the failure from counting again.
        sqlx::raw_sql("update registrations set sent_again_at = now()").execute(&database.pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_whose_history_fails_leaves_no_row() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    refuse_history(&database).await;
    ledger.record(&page(vec![row(1, Code::Ok)])).await.expect_err("the history fails");
    let n: i64 = sqlx::query_scalar("select count(*) from registrations").fetch_one(&database.pool).await.unwrap();
    assert_eq!(n, 0);
}

/// Makes every write into the history fail.
async fn refuse_history(database: &Database) {
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise 'out of luck'; end $$;
        create trigger refuse before insert on minute_counts execute function refuse()";
    sqlx::raw_sql(refuse).execute(&database.pool).await.unwrap();
}

#[tokio::test]
async fn throttles_of_several_writers_are_added() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Ok)]).await;
    let of = |target: &str, n| ((target.to_owned(), Operation::RegisterCertificate), n);
    for writer in [1, 2, 2] {
        ledger.add_throttles(writer, &ThrottleCounts::from([of("us", 5), of("default", 1)])).await.unwrap();
    }
    ledger.add_throttles(1, &ThrottleCounts::new()).await.unwrap();
    let mut by_target: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for point in ledger.history(HOUR, MINUTE).await.unwrap() {
        let sums = by_target.entry(point.target).or_default();
        *sums = (sums.0 + point.n_registered, sums.1 + point.n_throttled);
    }
    assert_eq!(by_target, BTreeMap::from([("default".to_owned(), (1, 3)), ("us".to_owned(), (0, 15))]));
}

#[tokio::test]
async fn throttles_wait_for_a_ledger_that_fails() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let throttles = Throttles::default();
    let note = || throttles.note(&"default".parse().unwrap(), Operation::RegisterCertificate);
    refuse_history(&database).await;
    for _ in 0..3 {
        note();
        throttles.write_to(&ledger).await.expect_err("the history fails");
    }
    sqlx::raw_sql("drop trigger refuse on minute_counts").execute(&database.pool).await.unwrap();
    for _ in 0..2 {
        throttles.write_to(&ledger).await.unwrap();
        assert_eq!(sums(&ledger).await, [0, 0, 0, 0, 3]);
    }
    note();
    throttles.write_to(&ledger).await.unwrap();
    assert_eq!(sums(&ledger).await, [0, 0, 0, 0, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_writes_its_outcomes_and_throttles_before_it_stops() {
    let factory = Factory::new(1000.0).await;
    let throttle = Fault::new(ApiOperation::RegisterCertificate, Effect::Throttle).calls(7);
    factory.sandbox.faults().set(throttle).unwrap();
    factory.enqueue(&factory.leaves(20)).await;
    factory.drain().await;
    let ledger = factory.database.ledger().await;
    assert_eq!(sums(&ledger).await, [20, 0, 0, 0, 7]);
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
