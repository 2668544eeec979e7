//! What holds on every page: readable in both themes, at 400 pixels and with assistive technology, and quiet.

use muster_core::outcome::Code;
use serde_json::{Value, json};

use super::chromium::Browser;
use super::stage::{OPERATOR, Stage};
use super::{axe, content};
use crate::ledger::{record, row};

impl Browser {
    async fn prefer(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn resize(&self, width: u32) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        self.until(&format!("innerWidth === {width}")).await;
    }

    /// Returns what makes the page wider than the window.
    async fn too_wide(&self) -> Vec<String> {
        let script = "if (document.documentElement.scrollWidth <= innerWidth) return [];
            return [...document.querySelectorAll('body, body *')]
                .filter(element => element === document.body || element.getBoundingClientRect().right > innerWidth)
                .map(element => 'too wide: ' + element.outerHTML.slice(0, 200))";
        serde_json::from_value(self.script(script).await).unwrap()
    }

    /// Returns the colours of the text and of what is behind it.
    async fn colours(&self) -> Value {
        self.script(
            "const { color, backgroundColor } = getComputedStyle(document.body); return [color, backgroundColor]",
        )
        .await
    }
}

/// Returns what is wrong with a page in both themes, wide and narrow.
async fn check(browser: &Browser, path: &str, axe: Option<&str>) -> Vec<String> {
    let (mut colours, mut wrong) = (Vec::new(), Vec::new());
    for (theme, width) in [("light", 1280), ("dark", 400)] {
        browser.prefer(theme).await;
        browser.resize(width).await;
        let mut found = browser.too_wide().await;
        colours.push(browser.colours().await);
        if let Some(axe) = axe {
            found.extend(browser.barriers(axe).await);
        }
        wrong.extend(found.iter().map(|what| format!("{path}, {theme}, {width} pixels: {what}")));
    }
    assert_ne!(colours[0], colours[1], "{path}");
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_readable_accessible_and_quiet() {
    let Some(stage) = Stage::open().await else { return };
    let axe = axe::source();
    stage.visit("/").await;
    stage.browser.arrives("Log in").await;
    let mut wrong = check(&stage.browser, "/login", axe).await;
    stage.log_in(OPERATOR).await;
    stage.browser.arrives("Overview").await;
    for path in content::fill(&stage.factory).await {
        stage.visit(&path).await;
        wrong.extend(check(&stage.browser, &path, axe).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    stage.finish(&[]).await;
}

/// On paper a batch is a report: dark on light, without navigation and buttons, and with the time of the reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_printed_batch_is_a_report() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let browser = &stage.browser;
    record(&stage.factory.ledger, vec![row(1, Code::Ok), row(2, Code::Timeout)]).await;
    stage.visit("/batches/batch").await;
    let light = browser.colours().await;
    browser.prefer("dark").await;
    assert_ne!(browser.colours().await, light);
    let features = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
    browser.devtools("Emulation.setEmulatedMedia", json!({ "media": "print", "features": features })).await;
    assert_eq!(browser.colours().await, light);
    let shown = "return ['header', 'nav', 'button', 'input', '#actions', '#progress', '#failures', '#read-at']
        .filter(selector => document.querySelector(selector).checkVisibility())";
    assert_eq!(browser.script(shown).await, json!(["#progress", "#failures", "#read-at"]));
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_readable_and_accessible() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let axe = axe::source();
    for path in ["/batches/unknown", "/nowhere", "/replays/7", "/batches?state=odd", "/replays/plans/x"] {
        stage.visit(path).await;
        let wrong = check(&stage.browser, path, axe).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        stage.browser.follow("Overview").await;
        stage.browser.arrives("Overview").await;
    }
    stage.finish(&["the server responded with a status of 40"]).await;
}
