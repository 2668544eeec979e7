//! What goes wrong with AWS, and that no certificate is lost or blamed for it.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::config::Config;
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::Value;

use crate::factory::Factory;

/// Creates a fault that strikes the given number of calls.
fn fault(operation: ApiOperation, effect: Effect, calls: u64) -> Fault {
    Fault { operation, effect, calls: Some(calls), seconds: None, probability: None, seed: 0 }
}

/// Creates a factory whose workers wait only briefly between attempts.
async fn factory() -> Factory {
    let mut factory = Factory::new(1000.0).await;
    shorten_timeouts(&mut factory.config);
    factory
}

fn shorten_timeouts(config: &mut Config) {
    let short = |ms| Duration::from_millis(ms).into();
    (config.retry.first_wait, config.retry.max_wait, config.retry.limited_first_wait) = (short(5), short(40), short(5));
    config.breakers.target_probe = short(10);
}

fn error(code: &str, status: u16, executed: bool) -> Effect {
    Effect::Error { status, code: code.into(), message: "as ordered".into(), executed }
}

/// Returns the outcome of the only certificate: code, detail and attempts.
async fn only_row(factory: &Factory) -> (String, String, Value) {
    sqlx::query_as("select code, coalesce(detail, ''), attempts from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap()
}

/// Registers a certificate whose first calls meet an effect; returns its outcome.
async fn outcome_after(effect: Effect, calls: u64) -> (String, String, Value) {
    let mut factory = factory().await;
    if matches!(effect, Effect::Hang { .. }) {
        factory.config.worker.attempt_timeout = Duration::from_secs(2).into();
    }
    factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, effect, calls)).unwrap();
    factory.enqueue(&factory.leaves(1)).await;
    factory.drain().await;
    assert_eq!(factory.counts("jobs").deleted, 1);
    only_row(&factory).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_on_retry() {
    for effect in [
        Effect::Reset { executed: true },
        Effect::Hang { executed: true },
        error("InternalFailureException", 500, true),
    ] {
        let (code, _, attempts) = outcome_after(effect.clone(), 1).await;
        assert_eq!(code, "answer_lost", "{effect:?}");
        assert_eq!(attempts.as_array().unwrap().len(), 2);
        assert_eq!(attempts[1]["result"], "ResourceAlreadyExistsException");
        assert!(attempts[1]["request_id"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_executed_is_retried() {
    for effect in [
        Effect::Reset { executed: false },
        Effect::Hang { executed: false },
        Effect::Throttle,
        error("ServiceUnavailableException", 503, false),
        error("TooManyRequestsException", 429, false),
        error("BrandNewException", 418, false),
        error("LimitExceededException", 410, false),
        error("ExpiredTokenException", 403, false),
    ] {
        let (code, _, attempts) = outcome_after(effect.clone(), 2).await;
        assert_eq!((code.as_str(), attempts.as_array().unwrap().len()), ("ok", 3), "{effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_says_why() {
    for (code, outcome) in
        [("CertificateValidationException", "certificate_validation"), ("InvalidRequestException", "invalid_request")]
    {
        let (found, detail, attempts) = outcome_after(error(code, 400, false), 1).await;
        assert_eq!((found.as_str(), attempts.as_array().unwrap().len()), (outcome, 1));
        assert_eq!(detail, format!("{code}: as ordered"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_id_is_not_a_success() {
    let (code, detail, _) = outcome_after(Effect::WrongId, 1).await;
    assert_eq!(code, "id_mismatch");
    assert!(detail.starts_with("AWS answered with id "), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_exhausts_a_job_after_five_calls() {
    let (code, _, attempts) = outcome_after(error("LimitExceededException", 410, false), 5).await;
    assert_eq!((code.as_str(), attempts.as_array().unwrap().len()), ("limit_exceeded", 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_ca_does_not_blame_the_certificate() {
    let factory = factory().await;
    let unregistered = Ca::new("A CA that nobody registered");
    factory.enqueue(&[unregistered.leaf("device")]).await;
    factory.drain().await;
    let (code, detail, _) = only_row(&factory).await;
    assert_eq!(code, "issuer_inactive");
    assert!(detail.starts_with("CertificateStateException: "), "{detail}");
    let has_request: bool = sqlx::query_scalar("select request is not null from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert!(has_request, "it can be resent");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_fails_if_a_fifth_of_calls_fail() {
    let factory = factory().await;
    let effect = error("InternalFailureException", 500, false);
    let fault =
        Fault { probability: Some(0.2), calls: None, seed: 7, ..fault(ApiOperation::RegisterCertificate, effect, 0) };
    factory.sandbox.faults().set(fault).unwrap();
    factory.enqueue(&factory.leaves(200)).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 200)]));
    assert!(factory.n_calls() > 220, "too few calls failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_attempts_blames_no_job() {
    let factory = factory().await;
    let outage = fault(ApiOperation::RegisterCertificate, error("ServiceUnavailableException", 503, false), 300);
    factory.sandbox.faults().set(outage).unwrap();
    factory.enqueue(&factory.leaves(10)).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 10)]));
    assert_eq!(factory.n_calls(), 310, "each job met about thirty failures");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_throttle_blames_no_job() {
    let factory = factory().await;
    factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, Effect::Throttle, 300)).unwrap();
    factory.enqueue(&factory.leaves(10)).await;
    factory.drain().await;
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 10)]), 310));
}

/// Whatever the answers, calls keep to the rate.
#[tokio::test(flavor = "multi_thread")]
async fn retries_stay_within_the_rate() {
    let mut factory = Factory::new(50.0).await;
    shorten_timeouts(&mut factory.config);
    let effect = error("InternalFailureException", 500, false);
    let fault = fault(ApiOperation::RegisterCertificate, effect, 100);
    factory.sandbox.faults().set(fault).unwrap();
    factory.enqueue(&factory.leaves(50)).await;
    factory.drain().await;
    assert_eq!(factory.n_calls(), 150);
    // With a permit for each call it takes at least 2.88 s, with permits for first calls only 0.9 s. A slow machine can
    // only delay the first arrival a little.
    let calls = factory.sandbox.ledger().calls();
    let calls = calls.iter().filter(|call| call.operation == ApiOperation::RegisterCertificate);
    let arrivals: Vec<_> = calls.map(|call| call.arrived).collect();
    let took = arrivals.last().unwrap().saturating_sub(arrivals[0]);
    assert!(took >= Duration::from_secs(2), "150 calls at 50/s took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_fails_alone_is_exhausted() {
    let mut factory = factory().await;
    // Every second call fails: with one job at a time, each failure is followed by another job's success.
    factory.config.retry.attempts = 2;
    let effect = error("InternalFailureException", 500, false);
    let fault =
        Fault { probability: Some(0.5), calls: None, seed: 3, ..fault(ApiOperation::RegisterCertificate, effect, 0) };
    factory.sandbox.faults().set(fault).unwrap();
    factory.enqueue(&factory.leaves(100)).await;
    factory.drain().await;
    let outcomes = factory.outcomes().await;
    assert_eq!(outcomes.values().sum::<u64>(), 100);
    assert!(outcomes.get(&Code::ServerError).is_some_and(|&n| n > 0), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delete_is_retried() {
    let factory = factory().await;
    let effect = Effect::FailEntries { entries: 3, code: "InternalError".into(), sender_fault: false };
    factory.sandbox.faults().set(fault(ApiOperation::DeleteMessageBatch, effect, 2)).unwrap();
    factory.enqueue(&factory.leaves(10)).await;
    factory.drain().await;
    let counts = factory.counts("jobs");
    assert_eq!((counts.deleted, counts.deliveries), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_receipt_costs_no_second_call() {
    let factory = factory().await;
    factory.sandbox.faults().set(fault(ApiOperation::DeleteMessageBatch, Effect::StaleHandles, 1)).unwrap();
    factory.enqueue(&factory.leaves(5)).await;
    factory.drain().await;
    assert_eq!((factory.n_calls(), factory.outcomes().await), (5, BTreeMap::from([(Code::Ok, 5)])));
    assert_eq!(factory.counts("jobs").deleted, 5);
    let duplicates: i64 = sqlx::query_scalar("select sum(n_duplicates) from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(duplicates, 0, "a redelivery of the same message is not a duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_twice_at_once_costs_one_call() {
    let factory = factory().await;
    factory.sandbox.faults().set(fault(ApiOperation::ReceiveMessage, Effect::DeliverTwice, 1)).unwrap();
    // So the first delivery is still in flight when the next receive arrives.
    let slow = Effect::Latency { milliseconds: 500, up_to: None };
    factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, slow, 5)).unwrap();
    factory.enqueue(&factory.leaves(5)).await;
    factory.drain().await;
    assert_eq!((factory.n_calls(), factory.outcomes().await), (5, BTreeMap::from([(Code::Ok, 5)])));
    assert!(factory.counts("jobs").deliveries > 5, "no message was delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_resumes_after_sqs_failures() {
    let factory = factory().await;
    for operation in [ApiOperation::ReceiveMessage, ApiOperation::DeleteMessageBatch, ApiOperation::GetQueueAttributes]
    {
        let effect = error("InternalError", 500, false);
        factory.sandbox.faults().set(Fault { probability: Some(0.3), ..fault(operation, effect, 20) }).unwrap();
    }
    factory.enqueue(&factory.leaves(60)).await;
    factory.until("the service can start", async |f| f.queue.attributes().await.is_ok()).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 60)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_longer_than_the_visibility_timeout_is_not_repeated() {
    let factory = factory().await;
    // The queue's visibility timeout is 2 s.
    let slow = Effect::Latency { milliseconds: 3500, up_to: None };
    factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, slow, 5)).unwrap();
    factory.enqueue(&factory.leaves(5)).await;
    factory.drain().await;
    assert_eq!((factory.n_calls(), factory.counts("jobs").deliveries), (5, 5));
}
