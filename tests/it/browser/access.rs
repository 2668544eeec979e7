//! Logging in and out, and what each role sees and may do.

use serde_json::json;

use super::content;
use super::stage::{OPERATOR, Stage, VIEWER};

const UNAUTHORIZED: &str = "the server responded with a status of 401";
const FORBIDDEN: &str = "the server responded with a status of 403";

/// Where the forms on the page lead that change something, apart from logging out.
const CHANGES: &str = "return [...document.forms].filter(form => form.method === 'post')
    .map(form => form.getAttribute('action'))
    .filter(path => !/^\\/(logout|search|dead-letters|certificates\\/.*\\/describe)$/.test(path))";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_that_was_asked_for_is_shown_after_the_login() {
    let Some(stage) = Stage::open().await else { return };
    let browser = &stage.browser;
    stage.visit("/batches?name=line&state=").await;
    stage.log_in("0123456789abcdef0123456789abcdeX").await;
    browser.sees("This token is not valid.").await;
    assert_eq!(browser.script("return document.querySelector('#token').value").await, "");
    stage.log_in(VIEWER).await;
    browser.arrives("Batches").await;
    assert_eq!(browser.script("return location.pathname + location.search").await, "/batches?name=line&state=");
    browser.sees("vic (viewer)").await;

    browser.press("Log out").await;
    browser.arrives("Log in").await;
    stage.visit("/batches").await;
    browser.arrives("Log in").await;
    browser.script("history.back()").await;
    browser.arrives("Log in").await;
    stage.finish(&[UNAUTHORIZED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_see_buttons_that_change_something() {
    let Some(stage) = Stage::open_as(VIEWER).await else { return };
    let pages = content::fill(&stage.factory).await;
    for path in pages.iter().filter(|path| !path.contains("/plans/")) {
        stage.visit(path).await;
        assert_eq!(stage.browser.script(CHANGES).await, json!([]), "{path}");
    }
    stage.browser.press("Log out").await;
    stage.log_in(OPERATOR).await;
    stage.browser.arrives("Overview").await;
    let mut changes = Vec::new();
    for path in &pages {
        stage.visit(path).await;
        changes.extend(stage.browser.script(CHANGES).await.as_array().unwrap().clone());
    }
    for change in ["/pause", "/resume", "/holds/release", "/replays/plans", "/replays", "/replays/1/cancel"] {
        assert!(changes.contains(&change.into()), "{change} is missing: {changes:?}");
    }
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_form_does_not_give_a_viewer_another_role() {
    let Some(stage) = Stage::open_as(VIEWER).await else { return };
    let browser = &stage.browser;
    let status = "return fetch('/pause', { method: 'POST', body: new URLSearchParams({ scope: 'all', reason: '' }) })
        .then(answer => answer.status)";
    assert_eq!(browser.script(status).await, 403);
    browser
        .script(
            "const form = document.createElement('form');
            form.method = 'post'; form.action = '/pause'; form.id = 'forged';
            const scope = document.createElement('input'); scope.name = 'scope'; scope.value = 'all';
            form.append(scope); document.body.append(form); form.submit()",
        )
        .await;
    browser.arrives("Forbidden").await;
    browser.sees("this needs the role operator").await;
    assert!(stage.factory.ledger.open_holds().await.unwrap().is_empty());
    stage.finish(&[FORBIDDEN]).await;
}
