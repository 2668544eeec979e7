//! What a comparison writes to a real Postgres while recorders work: it changes only rows that are still as compared.

use muster::ledger::drift::changes::{ChangeCounts, RowChange};
use muster::ledger::drift::listing::{Listed, ReconcileRun};
use muster::ledger::drift::{CertificateSource, ComparedRow, RegisteredRow};
use muster::ledger::{Ledger, Row};
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::CertificateStatus;
use muster_core::outcome::{Attempt, Code};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::database::Database;
use crate::ledger::{assert_counters_equal_the_rows, page, record, row};

fn account() -> Account {
    let row = row(0, Code::Ok);
    Account { id: row.account, region: row.region }
}

fn id(n: u32) -> CertificateId {
    CertificateId(row(n, Code::Ok).subject)
}

async fn compared(ledger: &Ledger, run: &ReconcileRun, ids: &[CertificateId]) -> Vec<ComparedRow> {
    ledger.compared_rows(run, &account(), ids).await.unwrap()
}

/// Marks all successes as gone.
async fn mark_gone(ledger: &Ledger, rows: &[ComparedRow]) -> ChangeCounts {
    let gone = || RowChange::Gone { detail: "gone".to_owned(), request: Some("{}".to_owned()) };
    let changes: Vec<_> = rows.iter().filter(|row| row.status.is_success()).map(|row| (row, gone())).collect();
    ledger.change_compared(&changes).await.unwrap()
}

#[tokio::test]
async fn rows_added_after_the_start_are_not_compared() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Ok), row(2, Code::Ok)]).await;
    let run = ledger.begin_run().await.unwrap();
    record(&ledger, vec![row(3, Code::Ok)]).await;
    ledger.note_listed(&run, &[Listed { id: id(2), status: Some("ACTIVE".to_owned()) }]).await.unwrap();
    let wanted = [(1, true), (2, false), (3, false)].map(|(n, is_open)| RegisteredRow { id: id(n), is_open });
    let batch = CertificateSource::Batch("batch".to_owned(), "default".to_owned(), row(1, Code::Ok).operation);
    for lane in [CertificateSource::Account, batch] {
        let found = ledger.registered_rows(&run, &lane, &account(), None, 10).await.unwrap();
        assert_eq!(found, wanted, "{lane:?}");
        let found = ledger.registered_rows(&run, &lane, &account(), Some(id(1)), 1).await.unwrap();
        assert_eq!(found, wanted[1..2], "{lane:?}");
    }
    let mut rows = compared(&ledger, &run, &[id(1), id(3)]).await;
    rows.sort_by_key(|row| row.key.subject);
    assert_eq!(rows.iter().map(|row| row.is_newer).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn rows_called_for_meanwhile_are_not_changed() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Ok), row(2, Code::Ok)]).await;
    let run = ledger.begin_run().await.unwrap();
    let rows = compared(&ledger, &run, &[id(1), id(2)]).await;
    assert!(rows.iter().all(|row| !row.is_newer));
    // A job with `verify` asks AWS again: the outcome stays, and there is one more call.
    record(&ledger, vec![row(2, Code::Ok)]).await;
    assert!(compared(&ledger, &run, &[id(2)]).await[0].is_newer);
    assert_eq!(mark_gone(&ledger, &rows).await, ChangeCounts { n_gone: 1, ..ChangeCounts::default() });
    let codes: Vec<String> =
        sqlx::query_scalar("select code from registrations order by subject").fetch_all(&database.pool).await.unwrap();
    assert_eq!(codes, ["deleted", "ok"]);
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn only_resendable_jobs_wait_for_a_repair() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mut without_request = row(4, Code::PrivateKey);
    without_request.outcome.request = None;
    let rows = vec![
        row(1, Code::Ok),
        row(2, Code::Timeout),
        row(3, Code::IssuerInactive),
        without_request,
        row(5, Code::Timeout),
    ];
    record(&ledger, rows).await;
    let run = ledger.begin_run().await.unwrap();
    let rows = compared(&ledger, &run, &(1..=4).map(id).collect::<Vec<_>>()).await;
    let sendable: Vec<Code> = rows.iter().filter(|row| row.is_sendable).map(|row| row.code).collect();
    assert_eq!(sendable, [Code::Timeout]);
    let hold = HoldKey::read("repair:default".into());
    let keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
    assert_eq!(ledger.repair(&hold, "reason", &keys).await.unwrap(), 1, "only one of the four can be resent");
    assert_eq!(ledger.repair(&hold, "reason", &keys).await.unwrap(), 0, "it already waits");
    let waiting = ledger.waiting(&hold, None, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|job| job.subject).collect::<Vec<_>>(), [id(2).0]);
    ledger.mark_resent(&hold, &waiting.iter().collect::<Vec<_>>()).await.unwrap();
    assert!(ledger.finish(&hold).await.unwrap());
    assert_eq!(ledger.repair(&hold, "reason", &keys).await.unwrap(), 0, "it was just resent");
    assert!(ledger.holds_report().await.unwrap().iter().all(|report| report.hold != hold));
}

/// A recorder and two comparisons work on the same rows in opposite orders: they do not deadlock, and no count is lost.
#[tokio::test(flavor = "multi_thread")]
async fn recorders_and_comparisons_neither_deadlock_nor_miscount() {
    const ROUNDS: u32 = 30;
    const KEYS: u32 = 100;
    let database = Database::fresh().await;
    let mut tasks = JoinSet::new();
    for reversed in [false, true] {
        let ledger = database.ledger().await;
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let code = |n: u32| if (n + round).is_multiple_of(3) { Code::Timeout } else { Code::Ok };
                let attempt = Attempt { at: OffsetDateTime::now_utc(), result: "ok".into(), request_id: None, ms: 1 };
                let of = |n| Row { attempts: vec![attempt.clone()], n_attempts: 1, ..row(n, code(n)) };
                let mut rows: Vec<Row> = (0..KEYS).map(of).collect();
                if reversed {
                    rows.reverse();
                }
                ledger.record(&page(rows)).await.unwrap();
            }
        });
        let ledger = database.ledger().await;
        tasks.spawn(async move {
            let hold = HoldKey::read("repair:default".into());
            for round in 0..ROUNDS {
                let run = ledger.begin_run().await.unwrap();
                let mut rows = compared(&ledger, &run, &(0..KEYS).map(id).collect::<Vec<_>>()).await;
                if reversed {
                    rows.reverse();
                }
                if round % 2 == 0 {
                    mark_gone(&ledger, &rows).await;
                } else {
                    let status = CertificateStatus::Inactive;
                    let known = || RowChange::Known { status, detail: Some("stands".to_owned()) };
                    let successes = rows.iter().filter(|row| row.status.is_success());
                    ledger.change_compared(&successes.map(|row| (row, known())).collect::<Vec<_>>()).await.unwrap();
                }
                let keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
                ledger.repair(&hold, "reason", &keys).await.unwrap();
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_counters_equal_the_rows(&database).await;
    let n_without_hold: i64 = sqlx::query_scalar(
        "select count(*) from registrations r
        where waits_for is not null and not exists (select from holds where hold = r.waits_for)",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(n_without_hold, 0, "rows wait for a hold that does not exist");
}
