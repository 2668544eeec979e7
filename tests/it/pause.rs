//! `muster pause` and `muster resume`: for everything, a target, or a batch.

use std::collections::BTreeMap;

use muster_core::job::Job;
use muster_core::outcome::Code;
use muster_sandbox::{self, ApiOperation};

use crate::factory::{BATCH, Factory, count_only};
use crate::ledger::assert_counters_equal_the_rows;

async fn run(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String) {
    let (code, _, stderr) = factory.spawn(arguments).wait().await;
    (code, stderr)
}

async fn ok(factory: &Factory, arguments: &[&str]) {
    let (code, stderr) = run(factory, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
}

/// Sends jobs of a batch for a target.
async fn enqueue(factory: &Factory, batch: &str, target: &str, n: usize) {
    let job = |pem: &String| {
        let (batch, target) = (batch.parse().unwrap(), target.parse().unwrap());
        Job { batch, target, ..Factory::job(pem) }.to_body()
    };
    factory.send(&factory.leaves(n).iter().map(job).collect::<Vec<_>>()).await;
}

async fn n_parked(factory: &Factory, batch: &str) -> u64 {
    factory.ledger.batch_status(batch).await.unwrap().map_or(0, |batch| batch.parked())
}

async fn n_registered(factory: &Factory, batch: &str) -> u64 {
    let batch = factory.ledger.batch_status(batch).await.unwrap().unwrap_or_default();
    batch.counts.iter().filter(|count| count.code == Code::Ok).map(|count| count.n).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_received_while_everything_is_paused() {
    let factory = Factory::new(1000.0).await;
    ok(&factory, &["pause", "all", "--reason", "line 7 is being moved"]).await;
    enqueue(&factory, BATCH, "default", 20).await;
    let serving = factory.serve().await;
    let ready = serving.readiness().await;
    assert_eq!(ready["breakers"][0]["breaker"], "pause", "{ready}");
    assert!(ready["breakers"][0]["reason"].as_str().unwrap().ends_with("line 7 is being moved"), "{ready}");
    let (code, stdout, _) = factory.spawn(&["holds"]).wait().await;
    assert!(code == Some(0) && stdout.contains("pause:all") && stdout.contains("until `muster resume`"), "{stdout}");
    assert_eq!(factory.sandbox.ledger().summary(ApiOperation::ReceiveMessage).calls, 0);

    ok(&factory, &["resume", "all"]).await;
    factory.until("all are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, 20)])).await;
    serving.stop().await;
    assert_eq!(factory.counts("jobs").deliveries, 20, "each was delivered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_notices_a_pause() {
    let factory = Factory::new(1000.0).await;
    let serving = factory.serve().await;
    ok(&factory, &["pause", "all"]).await;
    factory.until("the worker knows", async |_| serving.readiness().await["breakers"][0]["breaker"] == "pause").await;
    // A long poll that started before may still deliver some: they are held, and nothing is called.
    enqueue(&factory, BATCH, "default", 10).await;
    factory.until("the long poll is over", async |f| f.counts("jobs").in_flight > 0 || n_polls(f) > 0).await;
    assert_eq!(factory.n_calls(), 0);
    ok(&factory, &["resume", "all"]).await;
    factory.until("all are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, 10)])).await;
    serving.stop().await;
}

fn n_polls(factory: &Factory) -> usize {
    factory.sandbox.ledger().summary(ApiOperation::ReceiveMessage).calls
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_paused_batch_are_parked_and_others_go_on() {
    let factory = Factory::new(1000.0).await;
    ok(&factory, &["pause", "batch", "bad", "--new"]).await;
    let serving = factory.serve().await;
    enqueue(&factory, "bad", "default", 15).await;
    enqueue(&factory, BATCH, "default", 15).await;
    factory.until("they are parked", async |f| n_parked(f, "bad").await == 15).await;
    factory.until("others are registered", async |f| n_registered(f, BATCH).await == 15).await;
    assert_eq!((factory.n_calls(), n_registered(&factory, "bad").await), (15, 0));
    let (_, stderr) = run(&factory, &["pause", "batch", "bad"]).await;
    assert!(stderr.contains("was already paused"), "{stderr}");

    ok(&factory, &["resume", "batch", "bad"]).await;
    factory
        .until("all are registered", async |f| n_registered(f, "bad").await == 15 && n_parked(f, "bad").await == 0)
        .await;
    serving.stop().await;
    assert_counters_equal_the_rows(&factory.database).await;
    let actions: Vec<_> = factory
        .ledger
        .audit_entries(None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.action, entry.what))
        .collect();
    assert_eq!(
        actions,
        [("resume".into(), "pause:batch:bad".to_owned()), ("pause".into(), "pause:batch:bad".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_target_does_not_hold_up_another() {
    let mut factory = Factory::new(1000.0).await;
    let other = factory
        .add_target("eu", muster_sandbox::SandboxSettings { region: "eu-central-1".into(), ..count_only() })
        .await;
    ok(&factory, &["pause", "target", "eu"]).await;
    let serving = factory.serve().await;
    enqueue(&factory, "there", "eu", 12).await;
    enqueue(&factory, "here", "default", 12).await;
    factory.until("they are parked", async |f| n_parked(f, "there").await == 12).await;
    factory.until("others are registered", async |f| n_registered(f, "here").await == 12).await;
    assert_eq!(other.ledger().summary(ApiOperation::RegisterCertificate).calls, 0);
    ok(&factory, &["resume", "target", "eu"]).await;
    factory.until("all are registered", async |f| n_registered(f, "there").await == 12).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typos_are_reported() {
    let factory = Factory::new(1000.0).await;
    let (code, stderr) = run(&factory, &["resume", "batch", "nothing-like-it"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("batch `nothing-like-it` is not paused") && stderr.contains("muster holds"), "{stderr}");
    let (code, stderr) = run(&factory, &["pause", "target", "moon"]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("target `moon` is not in the settings, which have default"), "{stderr}");
    let (_, stderr) = run(&factory, &["pause", "target", "defualt"]).await;
    assert!(stderr.contains("hint: did you mean default?"), "{stderr}");
    enqueue(&factory, "line-7", "default", 1).await;
    factory.drain().await;
    let (code, stderr) = run(&factory, &["pause", "batch", "line-8"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: the ledger does not know batch `line-8`\nhint: did you mean line-7?"), "{stderr}");
    assert!(stderr.contains("`--new` pauses it before its first message"), "{stderr}");
    assert!(factory.ledger.open_holds().await.unwrap().is_empty(), "nothing was paused");
    ok(&factory, &["pause", "batch", "line-7"]).await;
    let (_, stderr) = run(&factory, &["resume", "batch", "line-8"]).await;
    assert!(stderr.contains("hint: currently paused: batch `line-7`"), "{stderr}");
}
