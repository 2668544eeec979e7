//! `muster prune`: removes old batches, a few rows at a time, and nothing that is in progress.

use muster::ledger::prune::PruneProgress;
use muster::ledger::{Page, Row};
use muster_core::certificate::CertificateId;
use muster_core::job::Operation;
use muster_core::outcome::Code;
use serde_json::Value;

use crate::factory::Factory;
use crate::ledger::{assert_counters_equal_the_rows, row};

/// Records the outcomes of a batch, some of them failures.
async fn record(factory: &Factory, batch: &str, numbers: std::ops::Range<u32>) {
    let code = |n: u32| if n.is_multiple_of(3) { Code::Timeout } else { Code::Ok };
    let rows = numbers.map(|n| Row { batch: batch.into(), ..row(n, code(n)) }).collect();
    let announced = [(batch.to_owned(), None)].into();
    factory.ledger.record(&Page { rows, announced, ..Page::default() }).await.unwrap();
}

async fn age(factory: &Factory, batch: &str) {
    for update in [
        "update batch_counters set last_at = last_at - interval '100 days' where batch = $1",
        "update batches set first_recorded_at = first_recorded_at - interval '100 days',
            announced_at = announced_at - interval '100 days' where batch = $1",
    ] {
        sqlx::query(update).bind(batch).execute(&factory.database.pool).await.unwrap();
    }
}

async fn n_rows(factory: &Factory, batch: &str) -> i64 {
    let count = sqlx::query_scalar("select count(*) from registrations where batch = $1").bind(batch);
    count.fetch_one(&factory.database.pool).await.unwrap()
}

async fn prune(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["prune"], arguments].concat()).wait().await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_batches_are_pruned_and_recent_ones_kept() {
    let factory = Factory::new(1000.0).await;
    record(&factory, "old", 0..300).await;
    record(&factory, "young", 300..400).await;
    age(&factory, "old").await;
    let (code, stdout, stderr) = prune(&factory, &["--older-than", "90d", "--dry-run"]).await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stdout.starts_with("old, 300 rows, the last of "), "{stdout}");
    assert_eq!(n_rows(&factory, "old").await, 300);
    assert_eq!(prune(&factory, &["--older-than", "90d"]).await.0, Some(2), "there is no terminal to confirm on");

    let (code, stdout, stderr) = prune(&factory, &["--older-than", "90d", "--yes", "--json"]).await;
    let summary: Value = serde_json::from_str(&stdout).expect(&stderr);
    assert_eq!((code, &summary[0]["dropped"], &summary[0]["is_gone"]), (Some(0), &300.into(), &true.into()));
    assert_eq!((n_rows(&factory, "old").await, n_rows(&factory, "young").await), (0, 100));
    assert!(factory.ledger.batch_status("old").await.unwrap().is_none());
    assert_counters_equal_the_rows(&factory.database).await;
    let is_known = async |n| {
        let (row, operation) = (row(n, Code::Ok), Operation::RegisterCertificate);
        let ids: [CertificateId; 1] = [row.certificate_id.unwrap()];
        !factory.ledger.known(&row.account, &row.region, operation, &ids).await.unwrap().is_empty()
    };
    assert!(!is_known(1).await && is_known(301).await);
    let audited = factory.ledger.audit_entries(None, 10).await.unwrap();
    assert_eq!((audited[0].action.as_str(), audited[0].what.as_str()), ("prune", "old"));
    assert_eq!(prune(&factory, &["--older-than", "90d", "--yes"]).await.1, "no batch is that old\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_progress_are_kept_and_counted() {
    let factory = Factory::new(1000.0).await;
    record(&factory, "old", 0..30).await;
    sqlx::query("update registrations set waits_for = 'replay:1' where subject = $1")
        .bind(row(3, Code::Timeout).subject)
        .execute(&factory.database.pool)
        .await
        .unwrap();
    sqlx::query("update registrations set sent_again_at = now() where subject = $1")
        .bind(row(6, Code::Timeout).subject)
        .execute(&factory.database.pool)
        .await
        .unwrap();
    let (code, stdout, stderr) = prune(&factory, &["old", "--yes", "--force"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("28 dropped; the rest stays"), "{stdout}");
    assert_eq!(n_rows(&factory, "old").await, 2);
    assert!(factory.ledger.batch_status("old").await.unwrap().is_some());
    assert_counters_equal_the_rows(&factory.database).await;
}

/// Jobs of the batch finish while it is pruned: what they add stays consistent.
#[tokio::test(flavor = "multi_thread")]
async fn counters_stay_exact_while_jobs_finish() {
    let factory = Factory::new(1000.0).await;
    record(&factory, "old", 0..200).await;
    let mut pruned = PruneProgress::default();
    let mut next = 1000;
    while !pruned.is_done {
        let live = record(&factory, "old", next..next + 20);
        let page = async { factory.ledger.prune("old", &pruned, 30).await.unwrap() };
        let ((), page) = tokio::join!(live, page);
        (pruned, next) = (page, next + 20);
        assert_counters_equal_the_rows(&factory.database).await;
        assert!(next < 3000, "pruning does not finish");
        if next >= 1100 {
            break;
        }
    }
    assert!(
        !factory.ledger.forget_batch("old", pruned.n_dropped, "somebody@here").await.unwrap(),
        "the batch still has rows"
    );
    assert_counters_equal_the_rows(&factory.database).await;
}

/// Premise: a typo pruned a batch that was in progress.
#[tokio::test(flavor = "multi_thread")]
async fn pruning_a_recent_batch_needs_force() {
    let factory = Factory::new(1000.0).await;
    record(&factory, "old", 0..3).await;
    age(&factory, "old").await;
    record(&factory, "young", 10..13).await;
    let announced = [("announced".to_owned(), Some(5))].into();
    factory.ledger.note_arrivals(&announced).await.unwrap();
    for arguments in [&["old", "young", "--yes"][..], &["--older-than", "1ms", "--yes"], &["announced", "--yes"]] {
        let (code, stdout, stderr) = prune(&factory, arguments).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("error: nothing was dropped: batch `") && stderr.contains("--force"), "{stderr}");
    }
    assert_eq!((n_rows(&factory, "old").await, n_rows(&factory, "young").await), (3, 3));
    let (code, stdout, _) = prune(&factory, &["young", "--dry-run"]).await;
    assert!(code == Some(0) && stdout.contains("; refused without --force: "), "{stdout}");
    let (code, _, stderr) = prune(&factory, &["young", "announced", "--yes", "--force"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(n_rows(&factory, "young").await, 0);
    assert!(factory.ledger.batch_status("announced").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_batch_is_refused_with_a_suggestion() {
    let factory = Factory::new(1000.0).await;
    record(&factory, "line7-a", 0..3).await;
    let (code, _, stderr) = prune(&factory, &["line7-b", "--dry-run"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("the ledger does not know batch `line7-b`\nhint: did you mean line7-a?"), "{stderr}");
}
