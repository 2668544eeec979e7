//! Without scripts everything works but the refresh.

use muster_core::outcome::Code;
use serde_json::json;

use super::stage::{OPERATOR, Stage};
use crate::factory::BATCH;
use crate::ledger::{record, row};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_starts_without_scripts() {
    let Some(stage) = Stage::open().await else { return };
    let Stage { factory, browser, .. } = &stage;
    record(&factory.ledger, (0..4).map(|n| row(n, Code::Timeout)).collect()).await;
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    stage.visit("/").await;
    stage.log_in(OPERATOR).await;
    browser.arrives("Overview").await;
    let button = browser.script("return document.querySelector('#refresh').checkVisibility()").await;
    assert_eq!(button, false, "there is no refresh to pause");
    browser.sees(" UTC").await;
    browser.follow("Batches").await;
    browser.arrives("Batches").await;
    browser.follow(BATCH).await;
    browser.arrives("Batch").await;
    browser.sees("timeout").await;
    browser.press("Plan a replay of what may succeed").await;
    browser.arrives("Plan of a replay").await;
    browser.press("Resend 4 jobs").await;
    browser.arrives("Replay 1").await;
    browser.sees("Workers are selecting and sending jobs.").await;
    assert_eq!(factory.ledger.replays(None, 10).await.unwrap().len(), 1);
    stage.finish(&[]).await;
}
