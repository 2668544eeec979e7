//! What goes wrong with SQS: nothing is lost, no message becomes a dead letter, and the service recovers by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, QueueAttributes};
use muster::engine::serve::Until;
use muster::http::service::Service;
use muster::telemetry::metrics::Metrics;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::factory::Factory;

/// The SQS operations of a running service.
const CALLS: [ApiOperation; 4] = [
    ApiOperation::ReceiveMessage,
    ApiOperation::DeleteMessageBatch,
    ApiOperation::ChangeMessageVisibilityBatch,
    ApiOperation::GetQueueAttributes,
];

fn error(code: &str, status: u16) -> Effect {
    Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false }
}

/// A service in this process that waits for work.
struct Worker {
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Worker {
    async fn start(factory: &Factory) -> Self {
        let stop = CancellationToken::new();
        let service = Service::start(&factory.config, Until::Stopped, stop.clone()).await.unwrap();
        Self { metrics: service.metrics(), stop, running: tokio::spawn(service.run()) }
    }

    /// Returns how many requests of an operation failed.
    fn n_failed(&self, operation: ApiOperation) -> u64 {
        self.metrics.sqs_requests.with_label_values(&[<&str>::from(operation), "error"]).get()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

async fn until_done(factory: &Factory, n: u64) {
    factory.until("all is done", async |f| f.counts("jobs").deleted == n).await;
}

/// Asserts that every message was delivered once and deleted, and none is a dead letter.
fn assert_each_delivered_once(factory: &Factory, n: u64) {
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (n, n));
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_receives_back_off_until_they_succeed() {
    // Slow enough that there is only one receiver.
    let factory = Factory::new(100.0).await;
    let outage = Duration::from_secs(3);
    for effect in [Effect::Reset { executed: false }, error("InternalError", 500)] {
        let fault = Fault::new(ApiOperation::ReceiveMessage, effect).during(outage);
        factory.sandbox.faults().set(Fault { probability: Some(0.5), ..fault }).unwrap();
    }
    let unavailable = Fault::new(ApiOperation::ReceiveMessage, error("ServiceUnavailable", 503)).during(outage);
    factory.sandbox.faults().set(unavailable).unwrap();
    factory.enqueue(&factory.leaves(20)).await;
    factory.drain().await;
    assert_each_delivered_once(&factory, 20);
    let answers = factory.sandbox.ledger().summary(ApiOperation::ReceiveMessage).answers;
    let n_failed: usize = ["reset", "InternalError", "ServiceUnavailable"].iter().filter_map(|a| answers.get(*a)).sum();
    // Waits of up to 0.2, 0.4, 0.8 s and so on fill three seconds after a handful of calls.
    assert!((2..=25).contains(&n_failed), "{n_failed} calls in an outage of {outage:?}");
}

/// Messages taken by a receive whose answer was lost become visible again after their visibility timeout.
#[tokio::test(flavor = "multi_thread")]
async fn a_receive_whose_answer_is_lost_loses_no_message() {
    let factory = Factory::new(1000.0).await;
    for effect in [Effect::Hang { executed: true }, Effect::Reset { executed: true }] {
        factory.sandbox.faults().set(Fault::new(ApiOperation::ReceiveMessage, effect).calls(1)).unwrap();
    }
    factory.enqueue(&factory.leaves(10)).await;
    factory.drain().await;
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 10)]), 10));
    assert_eq!(factory.counts("jobs").deliveries, 20, "no message was redelivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_to_two_workers_succeeds_once() {
    let factory = Factory::new(200.0).await;
    let faults = factory.sandbox.faults();
    faults.set(Fault::new(ApiOperation::ReceiveMessage, Effect::DeliverTwice).calls(20)).unwrap();
    let slow = Effect::Latency { milliseconds: 300, up_to: None };
    faults.set(Fault::new(ApiOperation::RegisterCertificate, slow)).unwrap();
    let (one, other) = tokio::join!(factory.serve(), factory.serve());
    factory.enqueue(&factory.leaves(60)).await;
    until_done(&factory, 60).await;
    tokio::join!(one.stop(), other.stop());
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 60)]));
    let (calls, counts) = (factory.n_calls() as u64, factory.counts("jobs"));
    assert!(calls > 60, "no certificate was called for by both workers");
    assert!(calls <= counts.deliveries, "{calls} calls for {} deliveries", counts.deliveries);
    assert_eq!((counts.deleted, factory.counts("jobs-dead").sent), (60, 0));
}

/// SQS may deliver a message again long after it was deleted, and in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_redelivered_days_later_costs_no_call() {
    let factory = Factory::new(1000.0).await;
    let mut pems = factory.leaves(15);
    factory.enqueue(&pems).await;
    factory.drain().await;
    let columns = "sent_at = sent_at - interval '9 days', ended_at = ended_at - interval '9 days', \
                   received_at = received_at - interval '9 days'";
    let aged = format!("update registrations set {columns}");
    sqlx::query(sqlx::AssertSqlSafe(aged)).execute(&factory.database.pool).await.unwrap();
    pems.reverse();
    factory.enqueue(&pems).await;
    factory.drain().await;
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 15)]), 15));
    assert_eq!(factory.counts("jobs").deleted, 30);
}

/// At three deliveries, a message redelivered each time would become a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn long_delete_failures_cause_no_redelivery() {
    let factory = Factory::new(1000.0).await;
    let denied =
        Fault::new(ApiOperation::DeleteMessageBatch, error("AccessDenied", 403)).during(Duration::from_secs(5));
    factory.sandbox.faults().set(denied).unwrap();
    factory.enqueue(&factory.leaves(12)).await;
    factory.drain().await;
    assert_each_delivered_once(&factory, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_releases_are_retried() {
    let factory = Factory::new(20.0).await;
    let effect = Effect::FailEntries { entries: 4, code: "InternalError".into(), sender_fault: false };
    factory.enqueue(&factory.leaves(100)).await;
    let program = factory.spawn(&["serve"]);
    factory.until("calls are made", async |f| f.n_calls() >= 20).await;
    factory.sandbox.faults().set(Fault::new(ApiOperation::ChangeMessageVisibilityBatch, effect).calls(1)).unwrap();
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(factory.sandbox.faults().list()[0].strikes, 1, "the fault struck no release");
    assert_eq!(factory.counts("jobs").in_flight, 0);
}

/// An abandoned receive would leave its messages hidden from every receiver until their visibility timeout.
#[tokio::test(flavor = "multi_thread")]
async fn messages_received_during_shutdown_are_released_at_once() {
    let factory = Factory::new(200.0).await;
    let mut program = factory.spawn(&["serve", "--set", "queue.wait=20s"]);
    factory
        .until("a long poll is under way", async |f| {
            let calls = f.sandbox.ledger().calls();
            calls.iter().any(|call| call.operation == ApiOperation::ReceiveMessage && call.answer.is_none())
        })
        .await;
    let mut log = BufReader::new(program.0.stderr.take().unwrap()).lines();
    program.signal("TERM");
    while !log.next_line().await.unwrap().expect("it says that it stops").contains("stopping") {}
    factory.enqueue(&factory.leaves(10)).await;
    let rest = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let (code, ..) = program.wait().await;
    rest.await.unwrap();
    let counts = factory.counts("jobs");
    assert_eq!((code, counts.visible, counts.in_flight), (Some(0), 10, 0));
    assert_eq!((counts.deliveries, factory.n_calls()), (10, 0), "the long poll took them");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_resumes_when_a_denial_is_lifted() {
    let factory = Factory::new(1000.0).await;
    let worker = Worker::start(&factory).await;
    factory.enqueue(&factory.leaves(5)).await;
    until_done(&factory, 5).await;
    for operation in CALLS {
        factory.sandbox.faults().set(Fault::new(operation, error("AccessDenied", 403))).unwrap();
    }
    factory.until("a receive is denied", async |_| worker.n_failed(ApiOperation::ReceiveMessage) >= 2).await;
    factory.enqueue(&factory.leaves(25)).await;
    factory.sandbox.faults().clear_all();
    until_done(&factory, 30).await;
    assert_each_delivered_once(&factory, 30);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_queue_is_used_again() {
    let factory = Factory::new(1000.0).await;
    let worker = Worker::start(&factory).await;
    let aws = identity::load(&factory.config.aws.access()).await;
    let client = aws_sdk_sqs::Client::new(&aws);
    client.delete_queue().queue_url(factory.queue.url()).send().await.unwrap();
    factory.until("a receive finds no queue", async |_| worker.n_failed(ApiOperation::ReceiveMessage) >= 2).await;
    let attributes = QueueAttributes {
        visibility_timeout: Duration::from_secs(2),
        retention: Duration::from_hours(96),
        max_receive_count: Some(5),
        ..QueueAttributes::default()
    };
    queue::create(&aws, "jobs", &attributes).await.unwrap();
    factory.enqueue(&factory.leaves(20)).await;
    until_done(&factory, 20).await;
    assert_each_delivered_once(&factory, 20);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_queue_is_reported_at_start_with_a_hint() {
    let factory = Factory::new(10.0).await;
    let fifo_url = format!("queue.name={}/000000000000/jobs.fifo", factory.sandbox.url());
    for (setting, fault, code, parts) in [
        ("queue.name=gone", None, 1, ["cannot use the queue: GetQueueUrl: ", "hint: check `queue.name`"]),
        ("queue.name=jobs.fifo", None, 6, ["`jobs.fifo` is a FIFO queue", "hint: create a standard queue"]),
        (&*fifo_url, None, 6, ["jobs.fifo` is a FIFO queue", "hint: create a standard queue"]),
        ("queue.name=jobs", Some(ApiOperation::GetQueueUrl), 4, ["AccessDenied: as ordered", "need sqs:GetQueueUrl"]),
        ("queue.name=jobs", Some(ApiOperation::GetQueueAttributes), 4, ["GetQueueAttributes: AccessDenied", "hint: "]),
    ] {
        factory.sandbox.faults().clear_all();
        if let Some(operation) = fault {
            factory.sandbox.faults().set(Fault::new(operation, error("AccessDenied", 403))).unwrap();
        }
        let (found, _, log) = factory.spawn(&["serve", "--set", setting]).wait().await;
        assert_eq!(found, Some(code), "{setting}: {log}");
        assert!(parts.iter().all(|part| log.contains(part)), "{setting}: {log}");
    }
}
