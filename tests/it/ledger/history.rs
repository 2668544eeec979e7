//! The history: what is counted in which minute, and for how long.

mod kept;

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

/// Sums of a history: registered, already registered, failed, parked, throttled.
type Sums = [u64; 5];

async fn sums(ledger: &Ledger) -> Sums {
    let points = ledger.history(HOUR, MINUTE).await.unwrap();
    points.iter().map(counts_of).fold([0; 5], |sums, counts| std::array::from_fn(|i| sums[i] + counts[i]))
}

fn counts_of(point: &HistoryPoint) -> Sums {
    [point.n_registered, point.n_already_registered, point.n_failed, point.n_parked, point.n_throttled]
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
