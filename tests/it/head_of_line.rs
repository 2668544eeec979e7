//! Head-of-line blocking: a slow target does not hold up another target.

use std::collections::BTreeMap;

use muster::aws::queue;
use muster_core::job::Job;
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use muster_sandbox::{self, ApiOperation, Effect, Fault, Sandbox};

use crate::factory::{Factory, count_only, queue_attributes};

/// Number of jobs of each target; the jobs of both alternate in the queue.
const N: usize = 300;

/// Creates a factory with a second target, `slow`, at the given rate.
async fn with_slow_target(rate: f64) -> (Factory, Sandbox) {
    let mut factory = Factory::new(200.0).await;
    let settings = muster_sandbox::SandboxSettings { account: "222222222222".to_owned(), ..count_only() };
    let slow = factory.add_target("slow", settings).await;
    let target = factory.config.targets.get_mut("slow").unwrap();
    target.rates.register_certificate = Rate::new(rate).unwrap();
    (factory, slow)
}

/// Sends the jobs of both targets, alternating.
async fn enqueue(factory: &Factory) {
    let job = |target: &str, i: usize| {
        let pem = factory.ca.leaf(&format!("{target} {i}"));
        Job { target: target.parse().unwrap(), ..Factory::job(&pem) }.to_body()
    };
    let bodies: Vec<_> = (0..N).flat_map(|i| [job("slow", i), job("default", i)]).collect();
    factory.send(&bodies).await;
}

/// Waits until all jobs of the default target are registered.
async fn until_default_target_is_done(factory: &Factory) {
    factory.until("the default target is done", async |f| f.sandbox.ledger().n_certificates() == N).await;
}

async fn until_all_are_registered(factory: &Factory) {
    let outcomes = BTreeMap::from([(Code::Ok, 2 * N as u64)]);
    factory.until("all are registered", async |f| f.outcomes().await == outcomes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_a_small_quota_does_not_hold_back_another() {
    let (factory, slow) = with_slow_target(20.0).await;
    enqueue(&factory).await;
    let service = factory.serve().await;
    until_default_target_is_done(&factory).await;
    let n_slow = slow.ledger().n_certificates();
    assert!(n_slow < N / 2, "{n_slow} of the slow target's jobs are registered: the other target waited for them");
    assert!(factory.outcomes().await.contains_key(&Code::TargetBusy), "no job was parked to make room");
    until_all_are_registered(&factory).await;
    factory.until("no hold is left", async |f| f.ledger.holds_report().await.unwrap().is_empty()).await;
    service.stop().await;
    assert_eq!(slow.ledger().summary(ApiOperation::RegisterCertificate).calls, N, "no job was called twice");
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

/// The calls of one target take five seconds, so it alone could fill all slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_leaves_slots_to_the_others() {
    let (mut factory, slow) = with_slow_target(200.0).await;
    factory.config.worker.slots = 60;
    let late = Effect::Latency { milliseconds: 5_000, up_to: None };
    let late = slow.faults().set(Fault::new(ApiOperation::RegisterCertificate, late)).unwrap();
    enqueue(&factory).await;
    let service = factory.serve().await;
    until_default_target_is_done(&factory).await;
    let n_slow = slow.ledger().n_certificates();
    assert!(n_slow < N / 2, "{n_slow} of the slow target's jobs are registered: the other target waited for them");
    slow.faults().clear(late);
    until_all_are_registered(&factory).await;
    service.stop().await;
}

/// A worker that stops at an empty queue first resends the jobs that it parked to make room.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_parked_to_make_room_are_resent_before_the_worker_stops() {
    let (mut factory, slow) = with_slow_target(20.0).await;
    let aws = muster::aws::identity::load(&factory.config.aws.access()).await;
    queue::create(&aws, "again", &queue_attributes()).await.unwrap();
    factory.config.queue.replay = Some("again".to_owned());
    enqueue(&factory).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 2 * N as u64)]));
    assert!(factory.counts("again").sent > 0, "no job was parked to make room");
    assert_eq!(slow.ledger().summary(ApiOperation::RegisterCertificate).calls, N);
}

/// If the other targets have enough slots, there is nothing to make room for.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_target_alone_parks_nothing() {
    let (factory, slow) = with_slow_target(100.0).await;
    let job = |i| Job { target: "slow".parse().unwrap(), ..Factory::job(&factory.ca.leaf(&format!("slow {i}"))) };
    factory.send(&(0..N).map(|i| job(i).to_body()).collect::<Vec<_>>()).await;
    let metrics = factory.drain().await;
    assert_eq!(metrics.jobs_parked.with_label_values(&["target_busy"]).get(), 0);
    assert_eq!(slow.ledger().n_certificates(), N);
}
