//! What the browser logged: messages on the console, and requests.

use serde_json::{Value, json};

use super::Browser;

impl Browser {
    /// Ends the browser. Nothing may have been logged to the console but messages with one of the `expected` texts, and
    /// nothing may have been requested from elsewhere than the given origin.
    pub(in crate::browser) async fn finish(self, origin: &str, expected: &[&str]) {
        let unexpected = self.messages(expected).await;
        assert!(unexpected.is_empty(), "on the console: {unexpected:#?}");
        let requests = self.requests().await;
        assert!(requests.iter().any(|url| url.starts_with(origin)), "the log of requests is incomplete: {requests:?}");
        let is_foreign = |url: &&String| !url.starts_with(origin) && !url.starts_with("data:");
        let foreign: Vec<_> = requests.iter().filter(is_foreign).collect();
        assert!(foreign.is_empty(), "requested from elsewhere: {foreign:#?}");
        self.end().await;
    }

    async fn messages(&self, expected: &[&str]) -> Vec<String> {
        let messages = self.log("browser").await;
        let messages = messages.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"]));
        messages.filter(|message| !expected.iter().any(|text| message.contains(text))).collect()
    }

    async fn requests(&self) -> Vec<String> {
        let events = self.log("performance").await;
        let events = events.iter().map(|entry| serde_json::from_str(entry["message"].as_str().unwrap()).unwrap());
        let sent = events.filter(|event: &Value| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", json!({ "type": kind })).await.unwrap();
        log.as_array().unwrap().clone()
    }

    async fn end(&self) {
        self.command(axum::http::Method::DELETE, "", Value::Null).await.unwrap();
    }
}
