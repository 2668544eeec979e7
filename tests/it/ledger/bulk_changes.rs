//! Bulk changes: planned, confirmed exactly once, followed, cancelled, and forgotten.

use std::sync::Arc;

use muster::ledger::Ledger;
use muster::ledger::bulk_change::{Begin, BulkAction, BulkChange, ChangeState, NewChange};
use serde_json::json;
use sqlx::AssertSqlSafe;
use strum::VariantArray;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::database::Database;

const FILTER: &str = r#"{"batches":["b","a"],  "reason":"not_json"}"#;

fn new() -> NewChange<'static> {
    NewChange {
        action: BulkAction::QuarantineDrop,
        filter: FILTER,
        n_expected: 12_000,
        is_more: true,
        who: "ann@plant",
    }
}

async fn planned(ledger: &Ledger) -> String {
    ledger.plan_change(&new()).await.unwrap()
}

async fn begun(ledger: &Ledger) -> String {
    let id = planned(ledger).await;
    assert!(matches!(ledger.begin_change(&id, "bob@plant").await.unwrap(), Begin::Begun(_)));
    id
}

async fn read(ledger: &Ledger, id: &str) -> BulkChange {
    ledger.change(id).await.unwrap().unwrap()
}

async fn state(ledger: &Ledger, id: &str) -> ChangeState {
    read(ledger, id).await.state()
}

/// Moves a time of a change into the past.
async fn set_back(database: &Database, id: &str, column: &str, interval: &str) {
    let update = format!("update bulk_changes set {column} = {column} - interval '{interval}' where id = $1");
    sqlx::query(AssertSqlSafe(update)).bind(id).execute(&database.pool).await.unwrap();
}

#[tokio::test]
async fn a_plan_is_read_back_as_it_was_planned() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    let change = read(&ledger, &id).await;
    assert_eq!((change.filter.as_str(), change.n_expected, change.is_more), (FILTER, 12_000, true));
    assert_eq!((change.action, change.planned.1.as_str()), (BulkAction::QuarantineDrop, "ann@plant"));
    assert_eq!((change.state(), change.begun, change.ended_at), (ChangeState::Planned, None, None));
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_ne!(id, planned(&ledger).await);
    assert!(ledger.audit_entries(None, 10).await.unwrap().is_empty(), "a plan changes nothing");
    for unknown in ["no such id", "\0", ""] {
        assert_eq!(ledger.change(unknown).await.unwrap(), None);
    }
}

#[tokio::test]
async fn every_action_can_be_planned_and_begun() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for &action in BulkAction::VARIANTS {
        let id = ledger.plan_change(&NewChange { action, ..new() }).await.unwrap();
        assert!(matches!(ledger.begin_change(&id, "bob").await.unwrap(), Begin::Begun(_)), "{action}");
        assert_eq!(read(&ledger, &id).await.action, action);
        assert_eq!(ledger.audit_entries(None, 1).await.unwrap()[0].action, action.to_string());
    }
}

/// Premise: a button is pressed twice, or the browser sends the request again.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_confirmed_many_times_at_once_begins_once() {
    const N: usize = 8;
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    let (barrier, mut confirmations) = (Arc::new(Barrier::new(N)), JoinSet::new());
    for i in 0..N {
        let (ledger, id, barrier) = (ledger.clone(), id.clone(), Arc::clone(&barrier));
        confirmations.spawn(async move {
            barrier.wait().await;
            (i, ledger.begin_change(&id, &format!("operator-{i}")).await.unwrap())
        });
    }
    let answers = confirmations.join_all().await;
    let winners: Vec<_> = answers.iter().filter(|(_, begin)| matches!(begin, Begin::Begun(_))).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    let who = format!("operator-{}", winners[0].0);
    for (_, begin) in &answers {
        let (Begin::Begun(change) | Begin::AlreadyBegun(change)) = begin else { panic!("{begin:?}") };
        assert_eq!(change.begun.as_ref().unwrap().1, who);
    }
    let audited = ledger.audit_entries(None, 10).await.unwrap();
    assert_eq!(audited.len(), 1);
    assert_eq!((&audited[0].who, audited[0].action.as_str()), (&who, "quarantine drop"));
    assert_eq!(audited[0].what, format!("change {id}"));
    let filter = json!({ "batches": ["b", "a"], "reason": "not_json" });
    assert_eq!(audited[0].detail, json!({ "filter": filter, "expected": 12_000, "more": true }));
}

#[tokio::test]
async fn a_change_without_its_audit_entry_does_not_begin() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise 'out of luck'; end $$;
        create trigger refuse before insert on audit execute function refuse()";
    sqlx::raw_sql(refuse).execute(&database.pool).await.unwrap();
    ledger.begin_change(&id, "bob").await.expect_err("the audit fails");
    assert_eq!(state(&ledger, &id).await, ChangeState::Planned);
}

#[tokio::test]
async fn the_audit_counts_the_items_of_a_long_list() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let certificates: Vec<_> = (0..5000).map(|n| format!("{n:064}")).collect();
    let filter = json!({ "certificates": certificates, "codes": ["timeout"] }).to_string();
    let id = ledger.plan_change(&NewChange { filter: &filter, ..new() }).await.unwrap();
    ledger.begin_change(&id, "bob").await.unwrap();
    assert_eq!(read(&ledger, &id).await.filter, filter);
    let audited = ledger.audit_entries(None, 1).await.unwrap();
    assert_eq!(audited[0].detail["filter"], json!({ "certificates": { "n": 5000 }, "codes": ["timeout"] }));
}

#[tokio::test]
async fn an_expired_or_unknown_plan_does_not_begin() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    set_back(&database, &id, "planned_at", "59 minutes").await;
    assert_eq!(state(&ledger, &id).await, ChangeState::Planned);
    set_back(&database, &id, "planned_at", "1 minute").await;
    assert_eq!(state(&ledger, &id).await, ChangeState::Expired);
    assert_eq!(ledger.begin_change(&id, "bob").await.unwrap(), Begin::Expired);
    assert_eq!(ledger.begin_change("no such id", "bob").await.unwrap(), Begin::Unknown);
    assert_eq!(state(&ledger, &id).await, ChangeState::Expired);
    assert!(ledger.audit_entries(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_begun_change_stays_begun_however_old_its_plan_is() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = begun(&ledger).await;
    set_back(&database, &id, "planned_at", "2 hours").await;
    assert!(matches!(ledger.begin_change(&id, "eve").await.unwrap(), Begin::AlreadyBegun(_)));
    assert_eq!(state(&ledger, &id).await, ChangeState::Running);
}

#[tokio::test]
async fn a_change_reports_its_progress_and_its_end() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    assert!(!ledger.note_change_progress(&id, 1, 0).await.unwrap(), "it has not begun");
    ledger.begin_change(&id, "bob").await.unwrap();
    assert!(ledger.note_change_progress(&id, 500, 1).await.unwrap());
    assert!(ledger.note_change_progress(&id, 1000, 2).await.unwrap());
    ledger.note_change_replay(&id, 7).await.unwrap();
    let change = read(&ledger, &id).await;
    assert_eq!((change.n_done, change.n_failed, change.replay), (1000, 2, Some(7)));
    assert_eq!(change.state(), ChangeState::Running);
    let result = json!({ "dropped": 1000, "text": "a\0b" });
    ledger.end_change(&id, Some(&result), None).await.unwrap();
    ledger.end_change(&id, None, Some("too late")).await.unwrap();
    let change = read(&ledger, &id).await;
    assert_eq!((change.state(), change.error.as_deref()), (ChangeState::Ended, None));
    assert_eq!(change.result, Some(json!({ "dropped": 1000, "text": "a\u{fffd}b" })));
    assert!(!ledger.note_change_progress(&id, 1001, 2).await.unwrap(), "it has ended");
    assert!(!ledger.cancel_change(&id, "eve").await.unwrap());
    assert_eq!(read(&ledger, &id).await.n_done, 1000);
}

#[tokio::test]
async fn a_change_that_fails_says_why() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = begun(&ledger).await;
    ledger.end_change(&id, None, Some("the queue cannot be reached")).await.unwrap();
    let change = read(&ledger, &id).await;
    assert_eq!(change.state(), ChangeState::Failed);
    assert_eq!(change.error.as_deref(), Some("the queue cannot be reached"));
}

#[tokio::test]
async fn a_cancelled_change_stops_at_its_next_report() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = planned(&ledger).await;
    assert!(!ledger.cancel_change(&id, "eve").await.unwrap(), "it has not begun");
    ledger.begin_change(&id, "bob").await.unwrap();
    assert!(ledger.note_change_progress(&id, 10, 0).await.unwrap());
    assert!(ledger.cancel_change(&id, "eve@plant").await.unwrap());
    assert!(!ledger.cancel_change(&id, "mallory").await.unwrap(), "it is cancelled already");
    assert!(!ledger.note_change_progress(&id, 20, 0).await.unwrap());
    ledger.end_change(&id, Some(&json!({})), None).await.unwrap();
    let change = read(&ledger, &id).await;
    assert_eq!((change.state(), change.n_done), (ChangeState::Cancelled, 20), "what was done counts");
    assert_eq!(change.cancelled.unwrap().1, "eve@plant");
    let audited = ledger.audit_entries(None, 1).await.unwrap();
    assert_eq!((audited[0].who.as_str(), audited[0].action.as_str()), ("eve@plant", "change cancel"));
}

#[tokio::test]
async fn a_change_whose_process_stops_reporting_is_interrupted() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let id = begun(&ledger).await;
    assert_eq!(state(&ledger, &id).await, ChangeState::Running);
    set_back(&database, &id, "runner_until", "31 seconds").await;
    assert_eq!(state(&ledger, &id).await, ChangeState::Interrupted);
    assert!(ledger.note_change_progress(&id, 1, 0).await.unwrap());
    assert_eq!(state(&ledger, &id).await, ChangeState::Running, "its process was only slow");
    set_back(&database, &id, "runner_until", "31 seconds").await;
    assert!(ledger.cancel_change(&id, "eve").await.unwrap(), "so that nobody has to wonder");
    assert_eq!(state(&ledger, &id).await, ChangeState::Cancelled);
}

#[tokio::test]
async fn begun_changes_are_listed_latest_first_in_pages() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        planned(&ledger).await;
        ids.insert(0, begun(&ledger).await);
    }
    // Changes begun at the same instant keep one order.
    sqlx::raw_sql("update bulk_changes set begun_at = date_trunc('day', begun_at) where begun_at is not null")
        .execute(&database.pool)
        .await
        .unwrap();
    ids.sort_unstable();
    ids.reverse();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = ledger.changes(before.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id.clone());
        listed.extend(page.into_iter().map(|change| change.id));
    }
    assert_eq!(listed, ids);
    set_back(&database, &ids[4], "begun_at", "-1 day").await;
    assert_eq!(ledger.changes(None, 1).await.unwrap()[0].id, ids[4]);
    assert!(ledger.changes(Some("no such id"), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_plans_and_changes_are_forgotten() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let old_plan = planned(&ledger).await;
    let plan = planned(&ledger).await;
    let [old_end, end, old_interrupted, interrupted] =
        [begun(&ledger).await, begun(&ledger).await, begun(&ledger).await, begun(&ledger).await];
    for id in [&old_end, &end] {
        ledger.end_change(id, None, None).await.unwrap();
    }
    for (id, column, interval) in [
        (&old_plan, "planned_at", "25 hours"),
        (&plan, "planned_at", "23 hours"),
        (&old_end, "ended_at", "32 days"),
        (&end, "ended_at", "30 days"),
        (&end, "planned_at", "90 days"),
        (&end, "runner_until", "90 days"),
        (&old_interrupted, "runner_until", "32 days"),
        (&interrupted, "runner_until", "30 days"),
    ] {
        set_back(&database, id, column, interval).await;
    }
    assert_eq!(ledger.forget_changes().await.unwrap(), 3);
    for (id, is_kept) in [
        (&old_plan, false),
        (&plan, true),
        (&old_end, false),
        (&end, true),
        (&old_interrupted, false),
        (&interrupted, true),
    ] {
        assert_eq!(ledger.change(id).await.unwrap().is_some(), is_kept);
    }
    assert_eq!(ledger.forget_changes().await.unwrap(), 0);
}
