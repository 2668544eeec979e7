//! Answers that are not what they seem: an empty 200, a proxy's page, an empty long poll. Nothing counts as done unless
//! the answer says so, and no job is blamed.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::aws::queue::UNKNOWN;
use muster_core::outcome::{Code, Status};
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::Value;

use crate::factory::{BATCH, Factory};

const PAGE: &str = "<!DOCTYPE html><html><body>Access blocked by proxy</body></html>";

/// Creates an answer that does not come from the service.
fn answer(status: u16, content_type: &str, body: &str, executed: bool) -> Effect {
    Effect::Answer { status, content_type: content_type.into(), body: body.into(), executed }
}

/// Answers to a call that contain nothing, whether or not it was executed.
fn empty_answers() -> [Effect; 4] {
    [
        answer(200, "application/json", "{}", false),
        answer(200, "application/json", "", true),
        answer(200, "text/html", PAGE, true),
        answer(403, "text/html", PAGE, false),
    ]
}

fn set(factory: &Factory, operation: ApiOperation, effect: Effect, calls: u64) {
    factory.sandbox.faults().set(Fault::new(operation, effect).calls(calls)).unwrap();
}

/// Runs `muster enqueue` for `n` certificates; returns exit code, numbers and standard error.
async fn enqueue(factory: &Factory, n: usize) -> (Option<i32>, Value, String) {
    let devices = factory.folder().join("devices");
    std::fs::create_dir_all(&devices).unwrap();
    for (i, pem) in factory.leaves(n).iter().enumerate() {
        std::fs::write(devices.join(format!("{i}.pem")), pem).unwrap();
    }
    let arguments = ["enqueue", "devices", "--json", "--batch", BATCH];
    let (code, stdout, stderr) = factory.spawn(&arguments).wait().await;
    (code, serde_json::from_str(&stdout).unwrap_or(Value::Null), stderr)
}

/// Returns the number of distinct certificates in the queue.
async fn n_queued(factory: &Factory) -> usize {
    let jobs = factory.take_jobs().await;
    jobs.iter().map(|job| job.request.pem()).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn sts_trouble_is_not_a_denial() {
    let error =
        |status, code: &str| Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false };
    let page = |status| answer(status, "text/html", PAGE, false);
    for effect in [
        error(503, "ServiceUnavailable"),
        error(500, "InternalFailure"),
        error(400, "Throttling"),
        page(200),
        page(403),
        page(502),
    ] {
        let factory = Factory::new(1000.0).await;
        factory.sandbox.faults().set(Fault::new(ApiOperation::GetCallerIdentity, effect.clone())).unwrap();
        let (code, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
        assert_eq!(code, Some(5), "{effect:?}: {stderr}");
        assert!(stderr.contains("cannot ask AWS who we are: "), "{effect:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_not_confirmed_as_sent_are_resent() {
    let omitted = |executed| Effect::OmitEntries { entries: 9, executed };
    for effect in empty_answers().into_iter().chain([omitted(false), omitted(true)]) {
        let factory = Factory::new(1000.0).await;
        set(&factory, ApiOperation::SendMessageBatch, effect.clone(), 2);
        let (code, numbers, stderr) = enqueue(&factory, 25).await;
        assert_eq!((code, &numbers["sent"]), (Some(0), &25.into()), "{effect:?} {stderr}");
        assert_eq!(n_queued(&factory).await, 25, "{effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_corrupted_in_transit_is_resent() {
    let factory = Factory::new(1000.0).await;
    set(&factory, ApiOperation::SendMessageBatch, Effect::CorruptBodies, 2);
    let (code, numbers, stderr) = enqueue(&factory, 25).await;
    assert_eq!((code, &numbers["sent"]), (Some(0), &25.into()), "{stderr}");
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 25)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_answers_never_count_as_sent() {
    let factory = Factory::new(1000.0).await;
    let nothing = answer(200, "application/json", "{}", false);
    factory.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, nothing)).unwrap();
    let (code, numbers, stderr) = enqueue(&factory, 3).await;
    assert_eq!((code, &numbers["sent"], &numbers["not_sent"]), (Some(5), &0.into(), &3.into()), "{stderr}");
    assert!(stderr.contains(UNKNOWN) && stderr.contains("proxy"), "{stderr}");
}

/// One of ten messages is missing from the answer to every attempt: its result is unknown, and reported as such.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_missing_from_every_answer_becomes_a_reject() {
    let factory = Factory::new(1000.0).await;
    let omitted = Effect::OmitEntries { entries: 1, executed: false };
    set(&factory, ApiOperation::SendMessageBatch, omitted, 8);
    let (code, numbers, stderr) = enqueue(&factory, 10).await;
    assert_eq!((code, &numbers["sent"], &numbers["not_sent"]), (Some(1), &9.into(), &1.into()), "{stderr}");
    let rejects = std::fs::read_to_string(factory.folder().join(format!("{BATCH}.rejects.jsonl"))).unwrap();
    assert!(rejects.contains("SQS did not say that it took the message: not in the answer: it may or may not be done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_with_a_corrupted_body_is_ignored() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(5)).await;
    set(&factory, ApiOperation::ReceiveMessage, Effect::CorruptBodies, 1);
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 5)]));
    let n: i64 = sqlx::query_scalar("select count(*) from quarantine").fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!(n, 0);
    assert!(factory.counts("jobs").deliveries > 5, "the fault struck no receive");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unconfirmed_delete_is_retried() {
    for effect in empty_answers().into_iter().chain([Effect::OmitEntries { entries: 9, executed: false }]) {
        let factory = Factory::new(1000.0).await;
        set(&factory, ApiOperation::DeleteMessageBatch, effect.clone(), 3);
        factory.enqueue(&factory.leaves(20)).await;
        factory.drain().await;
        let counts = factory.counts("jobs");
        assert_eq!((counts.deliveries, counts.deleted), (20, 20), "{effect:?}");
    }
}

/// A message stays hidden only if SQS confirms it: what the answer omits is requested again before the message becomes
/// visible.
#[tokio::test(flavor = "multi_thread")]
async fn an_unconfirmed_visibility_extension_is_retried() {
    let factory = Factory::new(1000.0).await;
    // Both strike well before the messages become visible, and neither request is executed.
    for effect in empty_answers().into_iter().filter(|effect| matches!(effect, Effect::Answer { executed: false, .. }))
    {
        set(&factory, ApiOperation::ChangeMessageVisibilityBatch, effect, 1);
    }
    let slow = Effect::Latency { milliseconds: 4_000, up_to: None };
    set(&factory, ApiOperation::RegisterCertificate, slow, 5);
    factory.enqueue(&factory.leaves(5)).await;
    factory.drain().await;
    assert_eq!((factory.counts("jobs").deliveries, factory.n_calls()), (5, 5));
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 5)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_answer_to_a_registration_blames_no_certificate() {
    for effect in empty_answers() {
        let factory = Factory::new(1000.0).await;
        set(&factory, ApiOperation::RegisterCertificate, effect.clone(), 15);
        factory.enqueue(&factory.leaves(30)).await;
        factory.drain().await;
        let outcomes = factory.outcomes().await;
        assert!(outcomes.keys().all(|code| code.status() == Status::Registered), "{effect:?}: {outcomes:?}");
        assert_eq!(outcomes.values().sum::<u64>(), 30, "{effect:?}");
        assert_eq!(factory.counts("jobs-dead").sent, 0);
    }
}

/// A proxy's page is not a denial by AWS: the certificates wait until AWS can be reached again, and the credentials are
/// not suspected.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_page_is_an_outage_not_a_denial() {
    let factory = Factory::new(1000.0).await;
    let page = Fault::new(ApiOperation::RegisterCertificate, answer(403, "text/html", PAGE, false));
    let id = factory.sandbox.faults().set(page).unwrap();
    factory.enqueue(&factory.leaves(40)).await;
    let serving = factory.serve().await;
    let mut readiness = String::new();
    factory
        .until("the breaker is open", async |_| {
            readiness = serving.readiness().await.to_string();
            readiness.contains("outage")
        })
        .await;
    assert!(readiness.contains("not an answer from AWS") && readiness.contains("proxy"), "{readiness}");
    assert!(!readiness.contains("auth"), "{readiness}");
    factory.sandbox.faults().clear(id);
    factory.until("all is done", async |f| f.counts("jobs").deleted == 40).await;
    serving.stop().await;
    assert!(factory.outcomes().await.keys().all(|code| code.status() == Status::Registered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_page_instead_of_sts_does_not_blame_the_credentials() {
    let factory = Factory::new(1000.0).await;
    for (status, content_type) in [(403, "text/html"), (200, "text/html"), (407, "text/html")] {
        let page = Fault::new(ApiOperation::GetCallerIdentity, answer(status, content_type, PAGE, false));
        let id = factory.sandbox.faults().set(page).unwrap();
        let (code, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
        assert_eq!(code, Some(5), "{status}: {stderr}");
        assert!(stderr.contains("cannot ask AWS who we are") && !stderr.contains("credentials"), "{status}: {stderr}");
        factory.sandbox.faults().clear(id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_unknown_depth_is_not_empty() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(5)).await;
    let empty = || answer(200, "application/json", "{}", false);
    let service = muster::http::service::Service::start(
        &factory.config,
        muster::engine::serve::Until::Empty,
        tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap();
    set(&factory, ApiOperation::GetQueueAttributes, empty(), 2);
    set(&factory, ApiOperation::ReceiveMessage, empty(), 2);
    service.run().await.unwrap();
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 5)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn receives_back_off_when_long_polls_return_at_once() {
    let factory = Factory::new(100.0).await;
    let empty = answer(200, "application/json", "{}", false);
    let immediate = Fault::new(ApiOperation::ReceiveMessage, empty).during(Duration::from_secs(4));
    factory.sandbox.faults().set(immediate).unwrap();
    let serving = factory.serve().await;
    factory.enqueue(&factory.leaves(5)).await;
    factory.until("all is done", async |f| f.counts("jobs").deleted == 5).await;
    serving.stop().await;
    let answers = factory.sandbox.ledger().summary(ApiOperation::ReceiveMessage).answers;
    let n_immediate = answers.get("replaced").copied().unwrap_or_default();
    assert!((2..=30).contains(&n_immediate), "{n_immediate} calls in four seconds");
}

fn kms_denies(operation: ApiOperation) -> Fault {
    let message = "not authorized to perform: kms:Decrypt on resource".to_owned();
    let code = "KMS.AccessDeniedException".to_owned();
    Fault::new(operation, Effect::Error { status: 400, code, message, executed: false })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_kms_key_is_a_denial_not_an_outage() {
    let factory = Factory::new(1000.0).await;
    factory.sandbox.faults().set(kms_denies(ApiOperation::SendMessageBatch)).unwrap();
    let (code, _, stderr) = enqueue(&factory, 3).await;
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("kms:GenerateDataKey"), "{stderr}");

    factory.sandbox.faults().set(kms_denies(ApiOperation::ReceiveMessage)).unwrap();
    let (code, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("the queue cannot be read") && stderr.contains("kms:Decrypt"), "{stderr}");

    let (code, found, _) = factory.spawn(&["doctor"]).wait().await;
    assert_eq!(code, Some(6));
    assert!(found.contains("problem  permission sqs:ReceiveMessage on jobs: denied"), "{found}");
    assert!(found.contains("kms:Decrypt"), "{found}");

    let serving = factory.serve().await;
    factory
        .until("it is not ready", async |_| serving.readiness().await.to_string().contains("KMS.AccessDenied"))
        .await;
    serving.stop().await;
}
