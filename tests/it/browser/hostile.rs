//! Texts from outside are shown as texts.

use std::collections::BTreeMap;

use muster::ledger::{Page, Row};
use muster_core::outcome::{Attempt, Code};
use time::OffsetDateTime;

use super::stage::{OPERATOR, Stage};
use crate::ledger::row;

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";

/// The same text in a path or a query.
const ENCODED: &str = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22'%3E%3Cscript%3Ealert(2)%3C%2Fscript%3E";

/// Returns a row whose every text is hostile.
fn hostile(n: u32, batch: &str, code: Code) -> Row {
    let mut row = Row { batch: batch.to_owned(), ..row(n, code) };
    (row.names.source, row.names.reference) = (Some(HOSTILE.into()), Some(HOSTILE.into()));
    (row.outcome.detail, row.message_id) = (Some(HOSTILE.into()), HOSTILE.into());
    let at = OffsetDateTime::now_utc();
    row.attempts = vec![Attempt { at, result: HOSTILE.into(), request_id: Some(HOSTILE.into()), ms: 1 }];
    row.n_attempts = 1;
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_texts_is_shown_and_not_executed() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let Stage { factory, browser, .. } = &stage;
    let rows = vec![hostile(1, HOSTILE, Code::Timeout), hostile(2, "batch", Code::Timeout)];
    let announced = BTreeMap::from([(HOSTILE.to_owned(), None), ("batch".to_owned(), None)]);
    factory.ledger.record(&Page { announced, rows, ..Page::default() }).await.unwrap();
    for path in [
        "/batches",
        "/batches/batch",
        "/batches/batch/failures?code=timeout",
        "/failures",
        &format!("/certificates/{ENCODED}"),
        &format!("/search?q={ENCODED}"),
        &format!("/batches?name={ENCODED}&source={ENCODED}"),
        &format!("/batches/{ENCODED}"),
        &format!("/batches?state={ENCODED}"),
        &format!("/login?next=/{ENCODED}"),
        &format!("/{ENCODED}"),
    ] {
        stage.visit(path).await;
        assert!(!browser.has_dialog().await, "{path}");
        let n_injected = "return document.querySelectorAll('img, script:not([src])').length";
        assert_eq!(browser.script(n_injected).await, 0, "{path}");
    }
    for path in ["/batches", "/batches/batch", &format!("/certificates/{ENCODED}")] {
        stage.visit(path).await;
        browser.sees(HOSTILE).await;
    }
    stage.finish(&["the server responded with a status of 40"]).await;
}
