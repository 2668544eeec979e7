//! Bulk changes of quarantined messages and dead letters: planned, confirmed, carried out, followed, cancelled.

use std::sync::Arc;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{OutgoingMessage, Queue};
use muster::config::Config;
use muster::ledger::{Page, Quarantined};
use muster::operator::bulk::{self, BulkError, ChangeView, MessageOrder};
use muster_core::job::Job;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::factory::Factory;

const WHO: &str = "eva";

fn order(json: Value) -> MessageOrder {
    serde_json::from_value(json).unwrap()
}

fn config(factory: &Factory) -> Arc<Config> {
    Arc::new(factory.config.clone())
}

/// Quarantines messages `from..to` that are not jobs.
async fn quarantine(factory: &Factory, from: usize, to: usize) {
    let message = |i: usize| Quarantined {
        queue: factory.queue.url().to_owned(),
        message_id: format!("message-{i:06}"),
        reason: "not_json",
        detail: "it is none".into(),
        body: format!("body {i}"),
        sent_at: OffsetDateTime::now_utc(),
    };
    factory.ledger.record(&Page { quarantined: (from..to).map(message).collect(), ..Page::default() }).await.unwrap();
}

async fn plan(factory: &Factory, json: Value) -> bulk::ChangePlan {
    bulk::plan(&factory.config, &factory.ledger, &order(json), WHO).await.unwrap()
}

async fn start(factory: &Factory, id: &str, confirm: Option<u64>) -> anyhow::Result<ChangeView> {
    bulk::start(&config(factory), &factory.ledger, id, confirm, WHO).await
}

/// Waits until a change is over.
async fn over(factory: &Factory, id: &str) -> ChangeView {
    for _ in 0..1200 {
        let change = bulk::show(&factory.ledger, id).await.unwrap();
        if change.ended_at.is_some() {
            return change;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the change {id} does not end");
}

async fn audited(factory: &Factory, action: &str) -> usize {
    let entries = factory.ledger.audit_entries(None, 100).await.unwrap();
    entries.iter().filter(|entry| entry.action == action && entry.who == WHO).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_takes_what_was_planned_and_nothing_that_arrived_since() {
    let factory = Factory::new(1000.0).await;
    quarantine(&factory, 0, 7).await;
    let plan = plan(&factory, json!({ "action": "quarantine_drop", "all": true })).await;
    assert_eq!((plan.expected, plan.is_approximate, plan.needs_confirmation), (7, false, false));
    assert_eq!(plan.detail, Some(json!({ "not_json": 7 })));
    quarantine(&factory, 7, 10).await;

    start(&factory, &plan.plan, None).await.unwrap();
    let change = over(&factory, &plan.plan).await;
    assert_eq!((change.state.as_str(), change.done, change.result), ("ended", 7, Some(json!({ "dropped": 7 }))));
    assert_eq!(factory.ledger.quarantined().await.unwrap(), 3);
    // Once as planned and begun, once with its result.
    assert_eq!(audited(&factory, "quarantine drop").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_a_plan_twice_carries_it_out_once() {
    let factory = Factory::new(1000.0).await;
    quarantine(&factory, 0, 5).await;
    let plan = plan(&factory, json!({ "action": "quarantine_drop", "reason": "not_json" })).await;
    let (one, other) = tokio::join!(start(&factory, &plan.plan, None), start(&factory, &plan.plan, None));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(over(&factory, &plan.plan).await.done, 5);
    assert!(bulk::planned(&factory.ledger, &plan.plan).await.unwrap().is_begun);
    assert_eq!(audited(&factory, "quarantine drop").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn above_a_thousand_messages_the_number_must_be_confirmed() {
    let factory = Factory::new(1000.0).await;
    quarantine(&factory, 0, 1001).await;
    let plan = plan(&factory, json!({ "action": "quarantine_drop", "all": true })).await;
    assert!(plan.needs_confirmation);
    for wrong in [None, Some(1000)] {
        let error = start(&factory, &plan.plan, wrong).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(BulkError::Unconfirmed(1001))), "{error}");
    }
    assert_eq!(factory.ledger.quarantined().await.unwrap(), 1001);
    start(&factory, &plan.plan, Some(1001)).await.unwrap();
    assert_eq!(over(&factory, &plan.plan).await.done, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_messages_that_are_jobs_now_are_resent() {
    let mut factory = Factory::new(1000.0).await;
    let job = Job { target: "second".parse().unwrap(), ..Factory::job(&factory.ca.leaf("one")) };
    factory.send(&[job.to_body(), "no job".to_owned()]).await;
    factory.drain().await;
    factory.config.targets.insert("second".to_owned(), factory.config.targets["default"].clone());
    let plan = plan(&factory, json!({ "action": "quarantine_replay", "all": true })).await;
    start(&factory, &plan.plan, None).await.unwrap();
    let change = over(&factory, &plan.plan).await;
    assert_eq!((change.state.as_str(), change.done, change.failed), ("ended", 1, 1));
    let result = change.result.unwrap();
    assert_eq!((&result["sent"], &result["stay"]), (&json!(1), &json!({ "not_json": 1 })));
    assert_eq!(factory.take_jobs().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_change_stops_and_says_what_was_done() {
    let factory = Factory::new(1000.0).await;
    for page in 0..20 {
        quarantine(&factory, page * 1000, (page + 1) * 1000).await;
    }
    let plan = plan(&factory, json!({ "action": "quarantine_replay", "all": true })).await;
    start(&factory, &plan.plan, Some(20_000)).await.unwrap();
    bulk::cancel(&factory.ledger, &plan.plan, "ben").await.unwrap();
    let change = over(&factory, &plan.plan).await;
    assert_eq!((change.state.as_str(), change.cancelled_by.as_deref()), ("cancelled", Some("ben")));
    assert!(change.failed < 20_000, "{} of 20,000 were read", change.failed);
    let error = bulk::cancel(&factory.ledger, &plan.plan, "ben").await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(BulkError::NotRunning(_))), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_batch_are_counted_resent_and_gone() {
    let factory = Factory::new(1000.0).await;
    let aws = identity::load(&factory.config.aws.access()).await;
    let dead = Queue::open(&aws, "jobs-dead").await.unwrap();
    let body = |batch: &str, i: usize| {
        let pem = factory.ca.leaf(&format!("{batch} {i}"));
        Job { batch: batch.parse().unwrap(), ..Factory::job(&pem) }.to_body()
    };
    let bodies = [body("a", 1), body("a", 2), body("b", 1), "no job".to_owned()];
    let messages: Vec<_> = bodies.into_iter().map(|body| OutgoingMessage { body, group: None }).collect();
    assert!(dead.send(&messages).await.unwrap().iter().all(Result::is_ok));

    let plan = plan(&factory, json!({ "action": "dead_replay", "batch": "a" })).await;
    assert_eq!((plan.expected, plan.is_approximate), (2, false));
    assert_eq!(factory.counts("jobs-dead").visible, 4, "counting releases the messages");
    start(&factory, &plan.plan, None).await.unwrap();
    let change = over(&factory, &plan.plan).await;
    assert_eq!((change.state.as_str(), change.done), ("ended", 2));
    assert_eq!(factory.take_jobs().await.len(), 2);
    assert_eq!(factory.counts("jobs-dead").visible, 2);
    assert_eq!(audited(&factory, "dead replay").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_says_why() {
    let factory = Factory::new(1000.0).await;
    quarantine(&factory, 0, 3).await;
    let plan = plan(&factory, json!({ "action": "quarantine_replay", "all": true })).await;
    let mut broken = factory.config.clone();
    broken.queue.name = "nowhere".to_owned();
    bulk::start(&Arc::new(broken), &factory.ledger, &plan.plan, None, WHO).await.unwrap();
    let change = over(&factory, &plan.plan).await;
    assert_eq!(change.state, "failed");
    assert!(change.error.unwrap().contains("cannot open queue `nowhere`"));
    assert_eq!(factory.ledger.quarantined().await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_change_is_no_plan() {
    let factory = Factory::new(1000.0).await;
    let nothing = order(json!({ "action": "quarantine_drop", "all": true }));
    let error = bulk::plan(&factory.config, &factory.ledger, &nothing, WHO).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(BulkError::Nothing)), "{error}");
    let error = bulk::planned(&factory.ledger, "none").await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(BulkError::Unknown(_))), "{error}");
}
