//! Pausing and resuming, from the overview and from a batch.

use muster_core::outcome::Code;

use super::stage::{OPERATOR, Stage};
use crate::factory::BATCH;
use crate::ledger::{record, row};

const IS_STOPPED: &str = "document.querySelector('#now .sentence').textContent.startsWith('Stopped')";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_paused_and_resumed() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    let worker = factory.serve().await;
    browser.until(&format!("!{IS_STOPPED}")).await;
    browser.fill("#reason", "line 7 is being moved").await;
    browser.press("Pause all workers").await;
    browser.arrives("Holds").await;
    browser.until(IS_STOPPED).await;
    browser.sees("paused by eva: line 7 is being moved").await;

    browser.follow("Overview").await;
    browser.press("Resume all workers").await;
    browser.arrives("Holds").await;
    browser.until(&format!("!{IS_STOPPED}")).await;
    browser.sees("Nothing is held.").await;
    browser.follow("Overview").await;
    browser.sees("Pause everything").await;
    worker.stop().await;
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_paused_and_resumed() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    record(&factory.ledger, vec![row(1, Code::Ok)]).await;
    let is_paused = async || !factory.ledger.open_holds().await.unwrap().is_empty();
    stage.visit(&format!("/batches/{BATCH}")).await;
    browser.fill("#reason", "wrong CA\u{e007}").await;
    browser.sees("batch `batch` is paused: paused by eva: wrong CA").await;
    assert!(is_paused().await);
    browser.press("Resume this batch").await;
    browser.until("!document.body.innerText.includes('is paused')").await;
    assert!(!is_paused().await);
    browser.press("Pause this batch").await;
    browser.sees("no reason given").await;
    stage.finish(&[]).await;
}
