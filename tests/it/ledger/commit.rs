//! A transaction is all or nothing, and its COMMIT has a timeout like everything else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster::config;
use muster::ledger::{Ledger, LedgerError};
use muster_core::outcome::Code;

use super::{assert_counters_equal_the_rows, counts, page, row};
use crate::database::Database;

/// Premise: counters written outside the transaction of the rows would be wrong forever after the first failure.
#[tokio::test]
async fn a_page_whose_counters_fail_leaves_no_row() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'out of luck'; end $$;
        create trigger refuse before insert on batch_counters execute function refuse()",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let outcomes = page(vec![row(1, Code::Ok), row(2, Code::Expired)]);
    ledger.record(&outcomes).await.expect_err("the counters fail");
    let n: i64 = sqlx::query_scalar("select count(*) from registrations").fetch_one(&database.pool).await.unwrap();
    assert_eq!(n, 0);

    sqlx::raw_sql("drop trigger refuse on batch_counters").execute(&database.pool).await.unwrap();
    ledger.record(&outcomes).await.unwrap();
    assert_eq!(counts(&ledger).await, BTreeMap::from([(Code::Ok, 1), (Code::Expired, 1)]));
    assert_counters_equal_the_rows(&database).await;
}

/// Premise: a server that stops in the middle of a COMMIT never answers it.
#[tokio::test]
async fn a_hanging_commit_times_out() {
    let database = Database::fresh().await;
    sqlx::raw_sql(
        "create function linger() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$;
        create constraint trigger linger after insert on registrations
            deferrable initially deferred for each row execute function linger()",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let timeout = Duration::from_millis(500);
    let settings =
        config::DatabaseConfig { url: database.url.as_str().into(), timeout: timeout.into(), ..Default::default() };
    let ledger = Ledger::connect(&settings.settings()).await.unwrap();
    let began = Instant::now();
    let result = ledger.record(&page(vec![row(1, Code::Ok)])).await;
    assert!(matches!(result, Err(LedgerError::Timeout(_))), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
