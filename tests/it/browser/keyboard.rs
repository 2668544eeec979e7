//! Everything can be reached and used with the keyboard.

use serde_json::{Value, json};

use super::content;
use super::stage::{OPERATOR, Stage};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// Describes what has the focus: its text, whether it is visible and marked, and its place in the document.
const FOCUS: &str = "const element = document.activeElement;
    const { width, height } = element.getBoundingClientRect();
    const { outlineStyle } = getComputedStyle(element);
    return { text: element.textContent.trim() || element.id || element.name || element.type,
        is_visible: width > 4 && height > 4 && outlineStyle !== 'none',
        place: [...document.querySelectorAll('*')].indexOf(element),
        is_body: element === document.body }";

#[tokio::test(flavor = "multi_thread")]
async fn the_focus_is_visible_and_follows_the_document() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    for path in content::fill(&stage.factory).await {
        stage.visit(&path).await;
        stage.browser.press("Pause refresh").await;
        stage.browser.script("document.activeElement.blur(); getSelection().removeAllRanges()").await;
        // An address with a fragment moves the place from which the focus starts.
        stage.browser.script("const top = document.querySelector('.skip'); top.focus(); top.blur()").await;
        let mut places = Vec::new();
        loop {
            stage.browser.keys(TAB).await;
            let focus = stage.browser.script(FOCUS).await;
            let place = focus["place"].as_u64().unwrap();
            if focus["is_body"] == true || places.first() == Some(&place) || places.len() > 200 {
                break;
            }
            assert_eq!(focus["is_visible"], true, "{path}: {focus}");
            places.push(place);
        }
        assert!(places.len() > 8 && places.is_sorted(), "{path}: {places:?}");
    }
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_tab_skips_the_navigation() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let browser = &stage.browser;
    stage.visit("/batches").await;
    browser.keys(TAB).await;
    let focus = browser.script(FOCUS).await;
    assert_eq!((&focus["text"], &focus["is_visible"]), (&json!("Skip to content"), &Value::Bool(true)));
    browser.keys(ENTER).await;
    browser.until("document.activeElement.id === 'content'").await;
    browser.keys(TAB).await;
    browser.until("document.activeElement.name === 'name'").await;
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_sent_with_enter() {
    let Some(stage) = Stage::open().await else { return };
    let browser = &stage.browser;
    stage.visit("/").await;
    browser.until("document.activeElement.id === 'token'").await;
    browser.keys(OPERATOR).await;
    browser.keys(ENTER).await;
    browser.arrives("Overview").await;

    stage.visit("/batches").await;
    browser.fill("[name=source]", "line-7\u{e007}").await;
    browser.until("location.search.includes('source=line-7')").await;
    browser.fill("#q", "SN-1\u{e007}").await;
    browser.until("location.pathname === '/certificates/SN-1'").await;
    stage.finish(&["the server responded with a status of 404"]).await;
}
