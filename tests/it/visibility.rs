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
struct Ward {
    sandbox: Sandbox,
    queue: Queue,
    slots: Slots,
    metrics: Arc<Metrics>,
    visibility: Duration,
}

impl Ward {
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

    fn extensions(&self, result: &str) -> u64 {
        self.metrics.sqs_visibility_extensions.with_label_values(&[result]).get()
    }

    async fn until_extended(&self, n: u64) {
        let extended = async {
            while self.extensions("ok") < n {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), extended).await.expect("it is extended");
    }
}

/// The first job gets its permit 2.5 s after the start, the second after 5 s: two and a half times the visibility
/// timeout.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_a_token_are_delivered_once() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.targets.get_mut("default").unwrap().rates.register_certificate = Rate::new(0.4).unwrap();
    factory.enqueue(&factory.leaves(2)).await;
    let began = Instant::now();
    factory.drain().await;
    assert!(began.elapsed() > Duration::from_secs(4), "the test shows nothing without a wait");
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_the_next_attempt_are_delivered_once() {
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
async fn an_extension_that_fails_is_tried_again_before_the_message_shows() {
    let error =
        |status| Effect::Error { status, code: "InternalError".into(), message: String::new(), executed: false };
    let effects = [
        error(500),
        Effect::Error { status: 403, code: "AccessDenied".into(), message: String::new(), executed: false },
        Effect::FailEntries { entries: 1, code: "InternalError".into(), sender_fault: false },
        Effect::Reset { executed: false },
        Effect::Hang { executed: false },
    ];
    let shown = effects.map(|effect| async {
        let ward = Ward::new(Duration::from_secs(4)).await;
        let n = if matches!(effect, Effect::Hang { .. }) { 1 } else { 2 };
        ward.sandbox.faults().set(Fault::new(ApiOperation::ChangeMessageVisibilityBatch, effect).calls(n)).unwrap();
        ward.send().await;
        let held = ward.hold().await;
        let _beats = ward.beat(HELD_MAX);
        let second = ward.receive(Duration::from_secs(6)).await;
        drop(held);
        (second.is_some(), ward.sandbox.faults().list()[0].strikes == n)
    });
    for (i, shown) in shown.map(tokio::spawn).into_iter().enumerate() {
        assert_eq!(shown.await.unwrap(), (false, true), "effect {i}: shown, struck");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_somebody_else_has_is_given_up_and_the_others_are_not() {
    let ward = Ward::new(Duration::from_secs(1)).await;
    ward.send().await;
    let lost = ward.hold().await;
    ward.queue.hide(std::slice::from_ref(&lost.receipt), Duration::ZERO).await.unwrap();
    let theirs = ward.receive(Duration::ZERO).await.unwrap();
    assert_eq!(theirs.receive_count, 2);
    ward.queue.hide(&[theirs.receipt], Duration::from_mins(1)).await.unwrap()[0].as_ref().unwrap();
    ward.send().await;
    let kept = ward.hold().await;
    let _beats = ward.beat(HELD_MAX);
    ward.until_extended(3).await;
    assert_eq!((ward.extensions("error"), ward.slots.held()), (1, 2), "it was tried once, and its job goes on");
    drop((lost, kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_held_too_long_is_let_go() {
    let ward = Ward::new(Duration::from_secs(1)).await;
    ward.send().await;
    let asked_at = Instant::now();
    let held = ward.hold().await;
    let held_max = Duration::from_secs(2);
    let _beats = ward.beat(held_max);
    let again = ward.receive(Duration::from_secs(20)).await.expect("it comes back");
    assert_eq!(again.receive_count, 2);
    assert!(asked_at.elapsed() >= held_max, "it was hidden for {:?}", asked_at.elapsed());
    drop(held);
}

/// SQS refuses to extend a timeout past twelve hours, so a long timeout must not be extended by as much as a short one.
#[tokio::test]
async fn an_extension_past_twelve_hours_is_not_asked_for() {
    let ward = Ward::new(Duration::from_hours(12)).await;
    ward.send().await;
    let held = ward.hold().await;
    tokio::time::pause();
    let _beats = ward.beat(HELD_MAX);
    tokio::time::sleep(Duration::from_hours(10)).await;
    assert_eq!(ward.metrics.sqs_requests.with_label_values(&["ChangeMessageVisibilityBatch", "error"]).get(), 0);
    assert_eq!(ward.sandbox.ledger().summary(ApiOperation::ChangeMessageVisibilityBatch).calls, 0);
    drop(held);
}
