//! Workers are frozen, stopped and restarted under load.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::aws::queue::QueueAttributes;
use muster_core::outcome::Code;
use muster_sandbox::ApiOperation;
use tokio::net::TcpListener;

use crate::factory::{Factory, Program, count_only, queue_attributes};

/// Calls per second of one worker.
const RATE: f64 = 50.0;

/// Asserts that all certificates succeeded, nothing is left, and there are no dead letters.
async fn assert_all_succeeded(factory: &Factory, n: usize) {
    let outcomes: BTreeMap<Code, u64> = factory.outcomes().await;
    assert_eq!(outcomes.values().sum::<u64>(), n as u64, "{outcomes:?}");
    assert!(outcomes.keys().all(|code| code.status().is_success()), "{outcomes:?}");
    assert_eq!(factory.sandbox.ledger().n_certificates(), n);
    assert_eq!((factory.counts("jobs").deleted, factory.counts("jobs-dead").sent), (n as u64, 0));
}

/// Premise: the queue's visibility timeout is 2 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_thawed_worker_does_not_catch_up_in_a_burst() {
    for frozen in [Duration::from_secs(2), Duration::from_millis(3_500)] {
        let factory = Factory::new(RATE).await;
        factory.enqueue(&factory.leaves(200)).await;
        let program = factory.spawn(&["serve", "--until-empty"]);
        factory.until("calls are made", async |f| f.n_calls() >= 60).await;
        program.signal("STOP");
        tokio::time::sleep(frozen).await;
        program.signal("CONT");
        let (code, _, log) = program.wait().await;
        assert_eq!(code, Some(0), "{log}");
        assert_all_succeeded(&factory, 200).await;
        // The bound is 56. A burst of the missed calls would add 100 and more; a slow machine delays a few.
        let worst = factory.sandbox.ledger().worst_second(ApiOperation::RegisterCertificate);
        assert!(worst <= 75, "{worst} calls in one second at {RATE}/s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_takes_over_from_a_frozen_one() {
    let factory = Factory::new(RATE).await;
    factory.enqueue(&factory.leaves(100)).await;
    let frozen = factory.spawn(&["serve"]);
    factory.until("calls are made", async |f| f.n_calls() >= 30).await;
    frozen.signal("STOP");
    let (code, _, log) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert_all_succeeded(&factory, 100).await;
    let outcomes = factory.outcomes().await;
    // Its late writes must not make any recorded outcome worse.
    frozen.signal("CONT");
    frozen.signal("TERM");
    let (code, _, log) = frozen.wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert_all_succeeded(&factory, 100).await;
    assert!(factory.outcomes().await.get(&Code::Ok) >= outcomes.get(&Code::Ok), "{outcomes:?} before");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_under_load_lose_nothing() {
    // Each restart releases waiting jobs, which uses up one delivery of each.
    let attributes = QueueAttributes { max_receive_count: Some(20), ..queue_attributes() };
    let factory = Factory::with_queue(count_only(), RATE, attributes).await;
    factory.enqueue(&factory.leaves(500)).await;
    let mut workers: Vec<Program> = (0..3).map(|_| factory.spawn(&["serve"])).collect();
    for round in 1..=3 {
        factory.until("calls are made", async |f| f.n_calls() >= 100 * round).await;
        let old = workers.remove(0);
        workers.push(factory.spawn(&["serve"]));
        old.signal("TERM");
        let (code, _, log) = old.wait().await;
        assert_eq!(code, Some(0), "{log}");
    }
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == 500).await;
    for worker in workers {
        worker.signal("TERM");
        let (code, _, log) = worker.wait().await;
        assert_eq!(code, Some(0), "{log}");
    }
    assert_all_succeeded(&factory, 500).await;
    assert_eq!(factory.n_calls(), 500, "an orderly stop wastes no call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_affects_one_job_and_its_message_comes_back() {
    let factory = Factory::new(RATE).await;
    factory.enqueue(&factory.leaves(20)).await;
    let mut command = factory.command(&["serve", "--until-empty"]);
    let program = Program(command.env("MUSTER_PANIC_AT", "checked:5").spawn().unwrap());
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("panicked"), "nothing panicked: {log}");
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 20)]), 20));
    assert_eq!(factory.counts("jobs").deliveries, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_startup_exits_at_once() {
    let mut factory = Factory::new(RATE).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    factory.database.url = format!("postgres://muster@{}/muster", silent.local_addr().unwrap());
    let program = factory.spawn(&["serve", "--set=database.timeout=5m"]);
    let _connection = silent.accept().await.unwrap();
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
}
