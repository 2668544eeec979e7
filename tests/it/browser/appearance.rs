//! What holds on every page: readable in both themes, at 400 pixels and with assistive technology, and quiet.

use serde_json::{Value, json};

use super::chromium::Browser;
use super::stage::{OPERATOR, Stage};
use super::{axe, content};

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

    async fn assert_fits(&self, path: &str) {
        let excess = self.script("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(excess.as_i64().unwrap() <= 0, "{path} is {excess} pixels wider than the window");
    }

    /// Returns the colours of the text and of what is behind it.
    async fn colours(&self) -> Value {
        self.script(
            "const { color, backgroundColor } = getComputedStyle(document.body); return [color, backgroundColor]",
        )
        .await
    }
}

/// Checks a page in both themes, wide and narrow.
async fn check(browser: &Browser, path: &str, axe: Option<&str>) {
    let mut colours = Vec::new();
    for (theme, width) in [("light", 1280), ("dark", 400)] {
        browser.prefer(theme).await;
        browser.resize(width).await;
        browser.assert_fits(path).await;
        colours.push(browser.colours().await);
        if let Some(axe) = axe {
            let barriers = browser.barriers(axe).await;
            assert!(barriers.is_empty(), "{path}, {theme}, {width}: {barriers:#?}");
        }
    }
    assert_ne!(colours[0], colours[1], "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_readable_accessible_and_quiet() {
    let Some(stage) = Stage::open().await else { return };
    let axe = axe::source();
    stage.visit("/").await;
    stage.browser.arrives("Log in").await;
    check(&stage.browser, "/login", axe).await;
    stage.log_in(OPERATOR).await;
    stage.browser.arrives("Overview").await;
    for path in content::fill(&stage.factory).await {
        stage.visit(&path).await;
        check(&stage.browser, &path, axe).await;
    }
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_readable_and_accessible() {
    let Some(stage) = Stage::open_as(OPERATOR).await else { return };
    let axe = axe::source();
    for path in ["/batches/unknown", "/nowhere", "/replays/7", "/batches?state=odd", "/replays/plans/x"] {
        stage.visit(path).await;
        check(&stage.browser, path, axe).await;
        stage.browser.follow("Overview").await;
        stage.browser.arrives("Overview").await;
    }
    stage.finish(&["the server responded with a status of 40"]).await;
}
