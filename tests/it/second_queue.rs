//! A second queue for resent jobs, next to the main one.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, OutgoingMessage, Queue, QueueAttributes};
use muster::engine::serve::Until;
use muster::http::service::Service;
use muster_core::certificate::{Certificate, CertificateId};
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use tokio_util::sync::CancellationToken;

use crate::factory::{Factory, count_only, patient_queue_attributes};

/// Creates a factory with a second queue, `replay_queue`.
async fn factory(rate: f64) -> (Factory, Queue) {
    with_second_queue(Factory::new(rate).await).await
}

async fn with_second_queue(mut factory: Factory) -> (Factory, Queue) {
    let aws = identity::load(&factory.config.aws.access()).await;
    let main = factory.queue.attributes().await.unwrap();
    let replay_queue =
        queue::create(&aws, "replay_queue", &QueueAttributes { max_receive_count: Some(5), ..main }).await.unwrap();
    factory.config.queue.replay = Some("replay_queue".to_owned());
    (factory, replay_queue)
}

async fn send(queue: &Queue, pems: &[String]) {
    for ten in pems.chunks(queue::CALL_MAX) {
        let message = |pem: &String| OutgoingMessage { body: Factory::job(pem).to_body(), group: None };
        let results = queue.send(&ten.iter().map(message).collect::<Vec<_>>()).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

fn ids(pems: &[String]) -> HashSet<CertificateId> {
    let id = |pem: &String| Certificate::from_pem(pem).unwrap().id();
    pems.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_full_queues_share_the_quota_and_neither_starves() {
    // Messages stay hidden for so long that a busy machine redelivers none.
    let patient = Factory::with_queue(count_only(), 200.0, patient_queue_attributes()).await;
    let (factory, replay_queue) = with_second_queue(patient).await;
    let pems = factory.leaves(600);
    let (live, resent) = pems.split_at(300);
    factory.enqueue(live).await;
    send(&replay_queue, resent).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 600)]));
    for queue in ["jobs", "replay_queue"] {
        let counts = factory.counts(queue);
        assert_eq!((counts.deliveries, counts.deleted), (300, 300), "{queue}");
    }
    let calls = factory.sandbox.ledger().calls();
    let called: Vec<_> = calls.iter().filter_map(|call| call.certificate_id).collect();
    let live = ids(live);
    let last_live = called.iter().rposition(|id| live.contains(id)).unwrap();
    let n_resent = last_live + 1 - 300;
    // A tenth would be 33 of 333; a slow machine lets the second queue have a few more.
    assert!((20..=200).contains(&n_resent), "{n_resent} resent jobs ran next to 300 of the main queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_queue_quarantines_under_its_own_name() {
    let (factory, replay_queue) = factory(1000.0).await;
    factory.enqueue(&factory.leaves(30)).await;
    replay_queue.send(&[OutgoingMessage { body: "no job".into(), group: None }]).await.unwrap();
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 30)]));
    let queue: String =
        sqlx::query_scalar("select queue from quarantine").fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!(queue, replay_queue.url());
    assert_eq!(factory.counts("replay_queue").deleted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_empty_waits_for_both_queues() {
    let (factory, replay_queue) = factory(1000.0).await;
    send(&replay_queue, &factory.leaves(1)).await;
    let held_elsewhere = replay_queue.receive(1, Duration::ZERO).await.unwrap();
    assert_eq!(held_elsewhere.len(), 1, "another consumer receives it, and dies");
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_worker_releases_messages_to_their_own_queues() {
    let (factory, replay_queue) = factory(50.0).await;
    let pems = factory.leaves(200);
    factory.enqueue(&pems[..100]).await;
    send(&replay_queue, &pems[100..]).await;
    let program = factory.spawn(&["serve", "--set", "queue.replay=replay_queue"]);
    factory.until("calls are made", async |f| f.n_calls() >= 40).await;
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    let (main, second) = (factory.counts("jobs"), factory.counts("replay_queue"));
    assert_eq!((main.in_flight, second.in_flight), (0, 0), "all messages are visible again");
    assert_eq!(main.deleted + second.deleted, factory.n_calls() as u64);
    assert!(
        main.deliveries > main.deleted && second.deliveries > second.deleted,
        "both were held: {main:?} {second:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_held_at_the_drain_deadline_return_to_their_queues() {
    let (mut factory, replay_queue) = factory(1000.0).await;
    // Longer than a long poll, which would take released messages.
    factory.config.worker.drain_deadline = Duration::from_millis(2500).into();
    let hang = Fault::new(ApiOperation::RegisterCertificate, Effect::Hang { executed: false });
    factory.sandbox.faults().set(hang).unwrap();
    let pems = factory.leaves(20);
    factory.enqueue(&pems[..10]).await;
    send(&replay_queue, &pems[10..]).await;
    let stop = CancellationToken::new();
    let service = Service::start(&factory.config, Until::Stopped, stop.clone()).await.unwrap();
    let running = tokio::spawn(service.run());
    factory.until("all jobs call", async |f| f.n_calls() == 20).await;
    stop.cancel();
    let error = running.await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("20 jobs were not finished"), "{error}");
    for queue in ["jobs", "replay_queue"] {
        let counts = factory.counts(queue);
        assert_eq!((counts.visible, counts.in_flight), (10, 0), "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_of_each_queue_is_shown() {
    let (factory, replay_queue) = factory(1000.0).await;
    // The receives hang, so that the messages stay where they are and can be counted.
    let hang = Fault::new(ApiOperation::ReceiveMessage, Effect::Hang { executed: false });
    factory.sandbox.faults().set(hang).unwrap();
    factory.enqueue(&factory.leaves(2)).await;
    send(&replay_queue, &factory.leaves(3)).await;
    let stop = CancellationToken::new();
    let service = Service::start(&factory.config, Until::Stopped, stop.clone()).await.unwrap();
    let metrics = service.metrics();
    for (queue, n) in [("main", 2), ("replay", 3), ("dead", 0)] {
        let series = format!("muster_queue_messages{{queue=\"{queue}\",state=\"visible\"}} {n}\n");
        factory.until(&series, async |_| metrics.text().contains(&series)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_second_queue_is_reported_at_start() {
    let (factory, _) = factory(10.0).await;
    for (name, code, part) in [
        ("gone", 1, "error: cannot use the second queue, `gone`: GetQueueUrl: "),
        ("jobs", 6, "error: `queue.replay` is `jobs`, which is the main queue itself\nhint: "),
    ] {
        let program = factory.spawn(&["serve", "--set", &format!("queue.replay={name}")]);
        let (found, _, log) = program.wait().await;
        assert_eq!(found, Some(code), "{log}");
        assert!(log.contains(part), "{log}");
    }
}
