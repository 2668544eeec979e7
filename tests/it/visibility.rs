//! Held messages stay hidden from every other receiver, for as long as allowed.

use std::sync::Arc;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, Queue, QueueAttributes};
use muster::config::access::{Access, Credentials};
use muster::engine::heartbeat::{HELD_MAX, Heartbeat};
use muster::engine::slots::{Delivery, Lane, Slots};
use muster::quota::by_target::Room;
use muster::telemetry::metrics::Metrics;
use muster_core::rate::Rate;
use muster_sandbox::{ApiOperation, Effect, Fault, Sandbox, SandboxSettings};
use tokio::time::Instant;

use crate::factory::Factory;

/// A queue, and a heartbeat for the messages held from it.
struct Fixture {
    sandbox: Sandbox,
    queue: Queue,
    slots: Slots,
    metrics: Arc<Metrics>,
    visibility: Duration,
}

impl Fixture {
    async fn new(visibility: Duration) -> Self {
        let sandbox = Sandbox::start(SandboxSettings::default()).await.unwrap();
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(sandbox.url()),
            credentials: Credentials::Sandbox,
            role: None,
        };
        let attributes = QueueAttributes {
            visibility_timeout: visibility,
            retention: Duration::from_hours(96),
            max_receive_count: Some(20),
            ..QueueAttributes::default()
        };
        let queue = queue::create(&identity::load(&access).await, "jobs", &attributes).await.unwrap();
        Self {
            sandbox,
            queue,
            slots: Slots::new(10, || Room { free: 10, served: 0 }),
            metrics: Arc::default(),
            visibility,
        }
    }

    /// Starts the heartbeat; dropping the result stops it.
    fn beat(&self, held_max: Duration) -> tokio_util::task::AbortOnDropHandle<()> {
        let heartbeat = Heartbeat {
            queue: self.queue.clone(),
            slots: self.slots.clone(),
            visibility: self.visibility,
            held_max,
            metrics: Arc::clone(&self.metrics),
        };
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(heartbeat.run()))
    }

    async fn send(&self) {
        let message = queue::OutgoingMessage { body: "body".into(), group: None };
        self.queue.send(&[message]).await.unwrap()[0].as_ref().unwrap();
    }

    /// Receives the only message and holds it.
    async fn hold(&self) -> Delivery {
        let message = self.receive(Duration::ZERO).await.unwrap();
        self.slots.take(Lane::Live, 1).await.remove(0).hold(message).0
    }

    async fn receive(&self, wait: Duration) -> Option<queue::ReceivedMessage> {
        self.queue.receive(1, wait).await.unwrap().pop()
    }

    fn n_extensions(&self, result: &str) -> u64 {
        self.metrics.sqs_visibility_extensions.with_label_values(&[result]).get()
    }

    async fn until_extended(&self, n: u64) {
        let extended = async {
            while self.n_extensions("ok") < n {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), extended).await.expect("it is extended");
    }
}

/// The first job gets its permit 2.5 s after the start, the second after 5 s: two and a half times the visibility
/// timeout.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_waiting_for_a_permit_are_delivered_once() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.targets.get_mut("default").unwrap().rates.register_certificate = Rate::new(0.4).unwrap();
    factory.enqueue(&factory.leaves(2)).await;
    let started = Instant::now();
    factory.drain().await;
    assert!(started.elapsed() > Duration::from_secs(4), "no job had to wait");
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_waiting_for_a_retry_are_delivered_once() {
    let mut factory = Factory::new(1000.0).await;
    let short = |ms| Duration::from_millis(ms).into();
    (factory.config.retry.first_wait, factory.config.retry.max_wait) = (short(100), short(500));
    let throttle = Fault::new(ApiOperation::RegisterCertificate, Effect::Throttle).during(Duration::from_secs(5));
    factory.sandbox.faults().set(throttle).unwrap();
    factory.enqueue(&factory.leaves(25)).await;
    factory.drain().await;
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (25, 25));
    let beats = factory.sandbox.ledger().summary(ApiOperation::ChangeMessageVisibilityBatch).calls;
    assert!((3..=30).contains(&beats), "{beats} calls kept 25 messages hidden for 5 s, ten a call, each second");
}

/// Each effect strikes two calls; the third is made well before the message becomes visible.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_extension_is_retried_before_the_message_is_visible() {
    let error =
        |status| Effect::Error { status, code: "InternalError".into(), message: String::new(), executed: false };
    let effects = [
        error(500),
        Effect::Error { status: 403, code: "AccessDenied".into(), message: String::new(), executed: false },
        Effect::FailEntries { entries: 1, code: "InternalError".into(), sender_fault: false },
        Effect::Reset { executed: false },
        Effect::Hang { executed: false },
    ];
    let results = effects.map(|effect| async {
        let fixture = Fixture::new(Duration::from_secs(4)).await;
        let n = if matches!(effect, Effect::Hang { .. }) { 1 } else { 2 };
        fixture.sandbox.faults().set(Fault::new(ApiOperation::ChangeMessageVisibilityBatch, effect).calls(n)).unwrap();
        fixture.send().await;
        let held = fixture.hold().await;
        let _beats = fixture.beat(HELD_MAX);
        let second = fixture.receive(Duration::from_secs(6)).await;
        drop(held);
        (second.is_some(), fixture.sandbox.faults().list()[0].strikes == n)
    });
    for (i, result) in results.map(tokio::spawn).into_iter().enumerate() {
        assert_eq!(result.await.unwrap(), (false, true), "effect {i}: redelivered, struck");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_message_held_elsewhere_is_given_up() {
    let fixture = Fixture::new(Duration::from_secs(1)).await;
    fixture.send().await;
    let lost = fixture.hold().await;
    fixture.queue.hide(std::slice::from_ref(&lost.receipt), Duration::ZERO).await.unwrap();
    let stolen = fixture.receive(Duration::ZERO).await.unwrap();
    assert_eq!(stolen.receive_count, 2);
    fixture.queue.hide(&[stolen.receipt], Duration::from_mins(1)).await.unwrap()[0].as_ref().unwrap();
    fixture.send().await;
    let kept = fixture.hold().await;
    let _beats = fixture.beat(HELD_MAX);
    fixture.until_extended(3).await;
    assert_eq!(
        (fixture.n_extensions("error"), fixture.slots.held()),
        (1, 2),
        "it was tried once, and its job continues"
    );
    drop((lost, kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_held_too_long_is_released() {
    let fixture = Fixture::new(Duration::from_secs(1)).await;
    fixture.send().await;
    let started = Instant::now();
    let held = fixture.hold().await;
    let held_max = Duration::from_secs(2);
    let _beats = fixture.beat(held_max);
    let redelivered = fixture.receive(Duration::from_secs(20)).await.expect("it comes back");
    assert_eq!(redelivered.receive_count, 2);
    assert!(started.elapsed() >= held_max, "it was hidden for {:?}", started.elapsed());
    drop(held);
}

/// SQS refuses to extend a timeout past twelve hours, so a long timeout must not be extended by as much as a short one.
#[tokio::test]
async fn no_extension_past_twelve_hours_is_requested() {
    let fixture = Fixture::new(Duration::from_hours(12)).await;
    fixture.send().await;
    let held = fixture.hold().await;
    tokio::time::pause();
    let _beats = fixture.beat(HELD_MAX);
    tokio::time::sleep(Duration::from_hours(10)).await;
    assert_eq!(fixture.metrics.sqs_requests.with_label_values(&["ChangeMessageVisibilityBatch", "error"]).get(), 0);
    assert_eq!(fixture.sandbox.ledger().summary(ApiOperation::ChangeMessageVisibilityBatch).calls, 0);
    drop(held);
}
