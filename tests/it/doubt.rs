//! Uncertain facts: a page that may have been written, a certificate that we may have registered, a wrong clock.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::ledger::prune::PruneProgress;
use muster::ledger::rate_limit::Quota;
use muster::ledger::replay::{ReplayRequest, ReplayStart};
use muster::ledger::written::Marks;
use muster::ledger::{LedgerError, Page, Row};
use muster_core::hold::{HoldKey, Opening};
use muster_core::job::{CertificateStatus, Job, RegisterCertificate, Request};
use muster_core::outcome::{Code, Status};
use muster_core::rate::Rate;
use muster_core::replay_filter::ReplayFilter;
use muster_sandbox::specimen::Flaw;
use muster_sandbox::{self, ApiOperation, Effect, Fault};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::factory::Factory;
use crate::ledger::{assert_counters_equal_the_rows, page, row};

#[tokio::test]
async fn a_page_written_twice_changes_nothing() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mut marks = Marks::default();
    let second = Row { message_id: "another".into(), ..row(1, Code::Timeout) };
    let first = Page { mark: Some(marks.next_mark()), ..page(vec![row(1, Code::Ok), second, row(2, Code::Expired)]) };
    assert!(!ledger.is_written(first.mark.unwrap()).await.unwrap());
    ledger.record(&first).await.unwrap();
    assert!(ledger.is_written(first.mark.unwrap()).await.unwrap());
    let numbers = async || -> (i64, i64, i64) {
        let query = "select sum(n_attempts), sum(n_duplicates), count(*) from registrations";
        sqlx::query_as(query).fetch_one(&database.pool).await.unwrap()
    };
    let before = numbers().await;
    ledger.record(&first).await.unwrap();
    assert_eq!((numbers().await, before.1), (before, 1));

    let next = Page {
        mark: Some(marks.next_mark()),
        ..page(vec![Row { message_id: "third".into(), ..row(1, Code::Exists) }])
    };
    assert!(!ledger.is_written(next.mark.unwrap()).await.unwrap());
    ledger.record(&next).await.unwrap();
    assert_ne!(numbers().await, before, "the next page has another mark");
    ledger.record(&first).await.unwrap();
    assert_counters_equal_the_rows(&database).await;
}

/// A transaction that timed out on the client may continue on the server and may still be committed.
#[tokio::test(flavor = "multi_thread")]
async fn is_written_waits_for_a_concurrent_writer() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mark = Marks::default().next_mark();
    let blocker = "create function wait() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock(7); return null; end $$;
        create trigger wait before insert on registrations for each statement execute function wait()";
    sqlx::raw_sql(blocker).execute(&database.pool).await.unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(7)").execute(&mut *connection).await.unwrap();
    let writing = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.record(&Page { mark: Some(mark), ..page(vec![row(1, Code::Ok)]) }).await }
    });
    let waiting =
        "select count(*) from pg_stat_activity where wait_event = 'advisory' and datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&database.pool).await.unwrap() == 0 {}
    let asking = tokio::spawn(async move { ledger.is_written(mark).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!asking.is_finished());
    sqlx::query("select pg_advisory_unlock(7)").execute(&mut *connection).await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(asking.await.unwrap());
}

/// Returns the body of a job that wants a status.
fn body_with_status(pem: &str, status: CertificateStatus, batch: &str) -> String {
    let request =
        RegisterCertificate { certificate_pem: pem.to_owned(), status: Some(status), ..RegisterCertificate::default() };
    Job { batch: batch.parse().unwrap(), ..Factory::job_of(Request::from(request)) }.to_body()
}

/// Registers a certificate as INACTIVE, without leaving anything in the ledger.
async fn register_elsewhere(factory: &Factory, pem: &str) {
    factory.send(&[body_with_status(pem, CertificateStatus::Inactive, "elsewhere")]).await;
    factory.drain().await;
    sqlx::raw_sql("truncate registrations, batch_counters, batches").execute(&factory.database.pool).await.unwrap();
}

/// Returns the code of the only row, and the status at AWS that it records.
async fn recorded(factory: &Factory) -> (String, Option<String>) {
    sqlx::query_as("select code, known_status from registrations").fetch_one(&factory.database.pool).await.unwrap()
}

fn n_described(factory: &Factory) -> usize {
    factory.sandbox.ledger().summary(ApiOperation::DescribeCertificate).calls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_does_not_claim_an_earlier_registration() {
    let unavailable = Effect::Error {
        status: 503,
        code: "ServiceUnavailableException".into(),
        message: "as ordered".into(),
        executed: false,
    };
    let factory = Factory::new(1000.0).await;
    let pem = factory.leaves(1).remove(0);
    register_elsewhere(&factory, &pem).await;
    factory.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, unavailable).calls(1)).unwrap();
    factory.send(&[body_with_status(&pem, CertificateStatus::Active, "batch")]).await;
    factory.drain().await;
    assert_eq!(recorded(&factory).await, ("exists".into(), None), "its status is unknown");
    assert_eq!(n_described(&factory), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_answer_the_certificate_is_described() {
    for (executed, status, code, known) in [
        (true, CertificateStatus::Active, "answer_lost", "ACTIVE"),
        (false, CertificateStatus::Inactive, "exists", "INACTIVE"),
    ] {
        let factory = Factory::new(1000.0).await;
        let pem = factory.leaves(1).remove(0);
        if !executed {
            register_elsewhere(&factory, &pem).await;
        }
        let reset = Effect::Reset { executed };
        factory.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, reset).calls(1)).unwrap();
        factory.send(&[body_with_status(&pem, CertificateStatus::Active, "batch")]).await;
        factory.drain().await;
        assert_eq!(recorded(&factory).await, (code.to_owned(), Some(known.to_owned())), "{status}");
        assert_eq!(n_described(&factory), 1);
    }
}

/// A worker that may not describe certificates still registers them, and asks only once.
#[tokio::test(flavor = "multi_thread")]
async fn without_describe_the_status_stays_unknown() {
    let factory = Factory::new(1000.0).await;
    let denied = |operation| {
        let (code, message) = ("AccessDeniedException".to_owned(), "no".to_owned());
        Fault::new(operation, Effect::Error { status: 403, code, message, executed: false })
    };
    factory.sandbox.faults().set(denied(ApiOperation::DescribeCertificate)).unwrap();
    let lost = Fault::new(ApiOperation::RegisterCertificate, Effect::Reset { executed: true }).calls(5);
    factory.sandbox.faults().set(lost).unwrap();
    factory.enqueue(&factory.leaves(5)).await;
    factory.drain().await;
    // The five faults may hit one certificate twice and another not at all.
    let outcomes = factory.outcomes().await;
    assert!(outcomes.keys().all(|code| code.status() == Status::Registered), "{outcomes:?}");
    assert!(outcomes.values().sum::<u64>() == 5 && outcomes.contains_key(&Code::AnswerLost), "{outcomes:?}");
    let query = "select count(*) from registrations where code = 'answer_lost' and known_status is not null";
    let known: i64 = sqlx::query_scalar(query).fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!(known, 0);
    assert!(n_described(&factory) <= 5, "one call at a time, and none after a denial");
}

fn quota() -> Quota {
    let account = muster_core::account::Account { id: "123456789012".into(), region: "us-east-1".into() };
    Quota { account, operation: muster_core::job::Operation::RegisterCertificate }
}

#[tokio::test]
async fn a_rate_cut_by_a_total_throttle_is_restored_at_once() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    ledger.open_quota(&quota(), Rate::new(100.0).unwrap()).await.unwrap();
    for n in 0..60 {
        let lease = ledger.lease(&quota(), 1).await.unwrap();
        ledger.cut_rate(&quota(), lease.granted_at, n == 0).await.unwrap().unwrap();
    }
    let rate = async || ledger.lease(&quota(), 1).await.unwrap().rate.per_second();
    assert!(rate().await < 2.0, "{}", rate().await);
    ledger.restore_rate(&quota()).await.unwrap().unwrap();
    assert!(rate().await > 99.0, "{}", rate().await);
    assert_eq!(ledger.restore_rate(&quota()).await.unwrap(), None, "the rate is restored once");
}

/// If calls succeed between the throttles, the quota is really lower.
#[tokio::test]
async fn a_rate_that_proved_too_high_is_not_restored() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    ledger.open_quota(&quota(), Rate::new(100.0).unwrap()).await.unwrap();
    for _ in 0..20 {
        let lease = ledger.lease(&quota(), 1).await.unwrap();
        ledger.cut_rate(&quota(), lease.granted_at, true).await.unwrap().unwrap();
    }
    ledger.restore_rate(&quota()).await.unwrap();
    let rate = ledger.lease(&quota(), 1).await.unwrap().rate.per_second();
    assert!(rate < 15.0, "{rate}");
}

/// The server's clock was a day ahead and is right again, so what it wrote lies in the future.
#[tokio::test]
async fn a_clock_that_was_ahead_blocks_no_cut_probe_or_replay() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    ledger.open_quota(&quota(), Rate::new(100.0).unwrap()).await.unwrap();
    let hold = HoldKey::batch(&"batch".parse().unwrap());
    let opening = Opening {
        witness: None,
        is_closed: true,
        subject: None,
        reason: "as ordered".into(),
        probe_every: Duration::from_millis(10),
    };
    let openings = vec![(hold.clone(), opening)];
    ledger.record(&Page { openings, ..page(vec![row(1, Code::BatchFailing), row(2, Code::Timeout)]) }).await.unwrap();
    let ahead = "update rate_limits set cut_at = now() + interval '1 day', next_probe = now() + interval '1 day';
        update holds set probe_at = now() + interval '1 day', opened_at = now() + interval '1 day',
            asked_at = now() + interval '1 day';
        update registrations set recorded_at = now() + interval '1 day'";
    sqlx::raw_sql(ahead).execute(&database.pool).await.unwrap();

    let lease = ledger.lease(&quota(), 1).await.unwrap();
    assert!(ledger.cut_rate(&quota(), lease.granted_at, true).await.unwrap().is_some());
    assert!(ledger.cut_rate(&quota(), lease.granted_at, true).await.unwrap().is_none(), "one cut per lease");

    assert!(!ledger.claim_probe(&hold, &quota()).await.unwrap());
    assert_eq!(ledger.heal_holds().await.unwrap(), 1);
    assert_eq!(ledger.heal_holds().await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(ledger.claim_probe(&hold, &quota()).await.unwrap());

    let filter = ReplayFilter {
        batches: ["batch".to_owned()].into(),
        codes: ReplayFilter::usual_codes(),
        ..ReplayFilter::default()
    };
    let request = ReplayRequest { filter: &filter, verify: false, who: "somebody@here", n_expected: 1 };
    let ReplayStart::New(number) = ledger.begin_replay(&request).await.unwrap() else {
        panic!("the replay is not new")
    };
    ledger.choose(number, 10).await.unwrap();
    assert_eq!(ledger.replay(number).await.unwrap().unwrap().n_chosen, 1);
}

/// This machine's clock is years ahead: by AWS's clock, which counts, the certificate has not expired.
#[tokio::test(flavor = "multi_thread")]
async fn validity_is_judged_by_the_clock_of_aws() {
    let behind = muster_sandbox::SandboxSettings {
        clock_ahead: -time::Duration::days(3650),
        ..muster_sandbox::SandboxSettings::default()
    };
    for (settings, code, n_calls) in
        [(muster_sandbox::SandboxSettings::default(), Code::Expired, 0), (behind, Code::CertificateValidation, 1)]
    {
        let factory = Factory::with(settings, 1000.0).await;
        let device = factory.ca.flawed(Flaw::Expired, "device");
        std::fs::write(factory.folder().join("device.pem"), &device).unwrap();
        let (exit_code, _, stderr) = factory.spawn(&["enqueue", "device.pem", "--batch", "from-a-file"]).wait().await;
        assert_eq!(exit_code, Some(if n_calls > 0 { 0 } else { 3 }), "{stderr}");
        assert_eq!(factory.take_jobs().await.len(), n_calls, "{stderr}");
        factory.enqueue(&[device]).await;
        factory.drain().await;
        assert_eq!(factory.outcomes().await, BTreeMap::from([(code, 1)]));
        assert_eq!(factory.n_calls(), n_calls, "AWS is called only if it may accept the certificate");
    }
}

/// The collation sorts these names in another order than their bytes.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_pruning_and_recording_never_deadlock_in_any_collation() {
    let database = Database::with_icu_collation().await;
    let ledger = database.ledger().await;
    let rows = |n: u32| -> Vec<Row> {
        let of = |target: &str| Row { target: target.into(), ..row(n, Code::Ok) };
        ["B", "a", "b", "A", "_", "-"].into_iter().map(of).collect()
    };
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let (ledger, rows) = (ledger.clone(), (0..8).flat_map(rows).collect::<Vec<_>>());
        tasks.spawn(async move {
            let mut n = 0;
            for _ in 0..60 {
                n += n_deadlocks(&ledger.record(&page(rows.clone())).await);
            }
            n
        });
    }
    tasks.spawn(async move {
        let mut n = 0;
        for _ in 0..60 {
            n += n_deadlocks(&ledger.prune("batch", &PruneProgress::default(), 100).await);
            n += n_deadlocks(&ledger.forget_batch("batch", 0, "somebody").await);
        }
        n
    });
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 0);
    assert_counters_equal_the_rows(&database).await;
}

fn n_deadlocks<T>(result: &Result<T, LedgerError>) -> usize {
    let code = result.as_ref().err().and_then(LedgerError::sqlstate);
    usize::from(code.is_some_and(|code| code == "40P01"))
}
