//! From a failure to its replay: the reason, the plan, the confirmation, the progress.

use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};

use super::stage::{OPERATOR, Stage};
use crate::factory::BATCH;
use crate::ledger::{record, row};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_understood_replayed_and_followed_to_its_end() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    let (status, code, message) = (400, "InvalidRequestException".into(), "the policy does not exist".into());
    let refusal = Effect::Error { status, code, message, executed: false };
    factory.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, refusal)).unwrap();
    factory.enqueue(&factory.leaves(12)).await;
    factory.drain().await;
    factory.sandbox.faults().clear_all();

    browser.follow("Batches").await;
    browser.arrives("Batches").await;
    browser.follow(BATCH).await;
    browser.arrives(&format!("Batch {BATCH}")).await;
    for text in ["invalid_request", "refused", "the policy does not exist"] {
        browser.sees(text).await;
    }
    browser.press("Plan a replay").await;
    browser.arrives("Plan of a replay").await;
    browser.sees("12 jobs will be resent.").await;
    browser.sees("The calls take at least").await;
    browser.press("Resend 12 jobs").await;

    browser.arrives("Replay 1").await;
    browser.sees("Workers are selecting and sending jobs.").await;
    browser.script("window.isSamePage = true").await;
    let worker = factory.serve().await;
    browser.sees("Done: every selected job has an outcome.").await;
    browser.sees("registered").await;
    browser.until("window.isSamePage && document.querySelector('#stale').hidden").await;
    worker.stop().await;
    assert_eq!(factory.outcomes().await, [(Code::Ok, 12)].into());
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_replay_starts_only_with_its_number() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    record(&factory.ledger, (0..1001).map(|n| row(n, Code::Timeout)).collect()).await;
    let n_replays = async || factory.ledger.replays(None, 10).await.unwrap().len();

    stage.visit(&format!("/batches/{BATCH}")).await;
    browser.press("Plan a replay of what may succeed").await;
    browser.arrives("Plan of a replay").await;
    browser.press("Resend 1,001 jobs").await;
    browser.until("document.querySelector('#confirm').validity.valueMissing").await;
    browser.fill("#confirm", "1000").await;
    browser.press("Resend 1,001 jobs").await;
    browser.until("document.querySelector('#confirm').validity.patternMismatch").await;
    browser.arrives("Plan of a replay").await;

    browser.script("document.querySelector('#confirm').removeAttribute('pattern')").await;
    browser.press("Resend 1,001 jobs").await;
    browser.arrives("Conflict").await;
    assert_eq!(n_replays().await, 0);

    browser.script("history.back()").await;
    browser.arrives("Plan of a replay").await;
    browser.script("document.querySelector('#confirm').value = ''").await;
    browser.fill("#confirm", "1001\u{e007}").await;
    browser.arrives("Replay 1").await;
    assert_eq!(n_replays().await, 1);
    stage.finish(&["the server responded with a status of 409"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_cancelled() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    record(&factory.ledger, (0..5).map(|n| row(n, Code::Timeout)).collect()).await;
    stage.visit("/failures").await;
    browser.press("Plan a replay").await;
    browser.press("Resend 5 jobs").await;
    browser.press("Cancel: send nothing more").await;
    browser.sees("Cancelled: nothing more is sent.").await;
    browser.sees("Cancelled by eva.").await;
    stage.finish(&[]).await;
}
