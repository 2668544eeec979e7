//! axe-core, which finds what keeps people with disabilities from using a page.

use std::sync::OnceLock;

use serde_json::Value;

use super::chromium::Browser;
use crate::python::file_of;

/// The package of pip that contains it, and where.
const PACKAGE: (&str, &str) = ("axe-playwright-python==0.1.8", "axe_playwright_python/axe.min.js");

/// Returns its source; `None`: it cannot be installed here.
pub(super) fn source() -> Option<&'static str> {
    static SOURCE: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(std::fs::read_to_string(file_of(PACKAGE.0, PACKAGE.1)?).unwrap());
    SOURCE.get_or_init(read).as_deref()
}

impl Browser {
    /// Returns what axe-core finds on the page, each as impact, rule and elements.
    pub(super) async fn barriers(&self, axe: &str) -> Vec<String> {
        self.script(&format!("if (!window.axe) {{ {axe} }}")).await;
        let found = self.script("return axe.run(document, { resultTypes: ['violations'] })").await;
        let describe = |violation: &Value| {
            let nodes = violation["nodes"].as_array().unwrap();
            let nodes: Vec<_> =
                nodes.iter().map(|node| format!("{} {}", node["html"], node["failureSummary"])).collect();
            format!("{} {}: {}", violation["impact"], violation["id"], nodes.join("; "))
        };
        found["violations"].as_array().unwrap().iter().map(describe).collect()
    }
}
