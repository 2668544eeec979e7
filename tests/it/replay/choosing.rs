//! What a replay chooses, in a real ledger: each row once, even if its code changes meanwhile.

use std::collections::BTreeSet;

use muster::ledger::Row;
use muster::ledger::replay::ReplayStart;
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::{begin, default_filter, with_failures};
use crate::factory::{BATCH, Factory};
use crate::ledger::page;

/// Returns the subjects that wait to be sent for a replay.
async fn chosen(factory: &Factory, number: i64) -> BTreeSet<[u8; 32]> {
    let subjects = sqlx::query_scalar("select subject from registrations where waits_for = $1");
    let subjects: Vec<[u8; 32]> =
        subjects.bind(format!("replay:{number}")).fetch_all(&factory.database.pool).await.unwrap();
    subjects.into_iter().collect()
}

async fn choose_all(factory: &Factory, number: i64, n: u32) {
    while !factory.ledger.choose(number, n).await.unwrap() {}
}

fn subjects<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeSet<[u8; 32]> {
    rows.into_iter().map(|row| row.subject).collect()
}

async fn begin_new(factory: &Factory, filter: &ReplayFilter) -> i64 {
    match begin(factory, filter).await {
        ReplayStart::New(number) => number,
        ReplayStart::UnderWay(number) => panic!("replay {number} is already in progress"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fails_again_is_not_chosen_again() {
    let (factory, rows) = with_failures(&[(Code::ServerError, 3), (Code::Timeout, 3)]).await;
    let number = begin_new(&factory, &default_filter()).await;
    factory.ledger.choose(number, 3).await.unwrap();
    assert_eq!(chosen(&factory, number).await, subjects(&rows[..3]), "one batch and code at a time");
    // They are sent, and fail with a code that the replay searches next.
    sqlx::query("update registrations set waits_for = null, sent_again_at = now() where waits_for is not null")
        .execute(&factory.database.pool)
        .await
        .unwrap();
    let again = rows[..3].iter().map(|row| {
        let mut row = row.clone();
        (row.outcome.code, row.message_id) = (Code::Timeout, "resent".into());
        row
    });
    factory.ledger.record(&page(again.collect())).await.unwrap();
    choose_all(&factory, number, 2).await;
    assert_eq!(chosen(&factory, number).await, subjects(&rows[3..]));
    assert_eq!(factory.ledger.replay(number).await.unwrap().unwrap().n_chosen, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_choosers_choose_each_row_once() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 60), (Code::Transport, 40)]).await;
    let number = begin_new(&factory, &default_filter()).await;
    tokio::join!(choose_all(&factory, number, 7), choose_all(&factory, number, 9), choose_all(&factory, number, 8));
    assert_eq!(chosen(&factory, number).await, subjects(&rows));
    let report = factory.ledger.replay(number).await.unwrap().unwrap();
    assert_eq!((report.n_chosen, report.chosen_at.is_some()), (100, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_unfinished_replay_are_not_chosen_by_another() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 10), (Code::Expired, 10)]).await;
    let first = begin_new(&factory, &default_filter()).await;
    choose_all(&factory, first, 100).await;
    let wider = ReplayFilter { codes: [Code::Timeout, Code::Expired].into(), ..default_filter() };
    let second = begin_new(&factory, &wider).await;
    choose_all(&factory, second, 100).await;
    assert_eq!(chosen(&factory, first).await, subjects(&rows[..10]));
    assert_eq!(chosen(&factory, second).await, subjects(&rows[10..]));
}

/// A row that fails again with the same code looks as it did when the earlier replay was requested.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_replay_skips_rows_resent_by_a_later_one() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 5)]).await;
    let earlier = begin_new(&factory, &default_filter()).await;
    let later = begin_new(&factory, &ReplayFilter { even_sent: true, ..default_filter() }).await;
    choose_all(&factory, later, 100).await;
    sqlx::query("update registrations set waits_for = null, sent_again_at = now()")
        .execute(&factory.database.pool)
        .await
        .unwrap();
    let again = rows.iter().map(|row| Row { message_id: "resent".into(), ..row.clone() });
    factory.ledger.record(&page(again.collect())).await.unwrap();
    choose_all(&factory, earlier, 100).await;
    assert_eq!(chosen(&factory, earlier).await, BTreeSet::new());
    assert_eq!(factory.ledger.replay(later).await.unwrap().unwrap().n_chosen, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_chooses_rows_that_match_every_condition() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 8)]).await;
    let change = |n: usize, change: &str| {
        let update = format!("update registrations set {change} where subject = $1");
        let (pool, subject) = (factory.database.pool.clone(), rows[n].subject);
        async move { sqlx::query(AssertSqlSafe(update)).bind(subject).execute(&pool).await.map(drop).unwrap() }
    };
    change(1, "source = 'line-2'").await;
    change(2, "ended_at = now() - interval '1 day'").await;
    change(3, "ended_at = now() + interval '1 day'").await;
    change(4, "request = null").await;
    change(5, "waits_for = 'batch:other'").await;
    change(6, "sent_again_at = now()").await;
    let now = OffsetDateTime::now_utc();
    let (since, until) = (Some(now - time::Duration::hours(1)), Some(now + time::Duration::hours(1)));
    let filter = ReplayFilter { sources: ["line-1".to_owned()].into(), since, until, ..default_filter() };

    let plan = factory.ledger.plan_replay(&filter).await.unwrap();
    let matching = &plan.matching[0];
    assert_eq!((matching.n, matching.n_chosen, matching.n_without_request, matching.n_under_way), (5, 2, 1, 2));
    let number = begin_new(&factory, &filter).await;
    choose_all(&factory, number, 100).await;
    assert_eq!(chosen(&factory, number).await, subjects([&rows[0], &rows[7]]));
    let even_sent = begin_new(&factory, &ReplayFilter { even_sent: true, ..filter }).await;
    choose_all(&factory, even_sent, 100).await;
    assert_eq!(chosen(&factory, even_sent).await, subjects([&rows[6]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_finished_after_the_request_are_not_chosen() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 4)]).await;
    let number = begin_new(&factory, &default_filter()).await;
    let later: Vec<Row> = (10..14).map(|n| crate::ledger::row(n, Code::Timeout)).collect();
    factory.ledger.record(&page(later)).await.unwrap();
    choose_all(&factory, number, 100).await;
    assert_eq!(chosen(&factory, number).await, subjects(&rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_certificates_are_chosen() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 9), (Code::Expired, 9)]).await;
    let named: Vec<&Row> = rows.iter().step_by(2).collect();
    let certificates = named.iter().map(|row| row.certificate_id.unwrap()).collect();
    let filter = ReplayFilter { batches: BTreeSet::new(), certificates, ..default_filter() };
    let number = begin_new(&factory, &filter).await;
    choose_all(&factory, number, 2).await;
    let wanted = subjects(named.into_iter().filter(|row| row.outcome.code == Code::Timeout));
    assert_eq!(chosen(&factory, number).await, wanted, "they must also match every other condition");
    assert!(!wanted.is_empty() && BATCH == rows[0].batch);
}
