//! A headless Chromium, driven over `WebDriver` (<https://www.w3.org/TR/webdriver2/>) by a chromedriver of its own.
//!
//! Every wait is for something that the page shows or does, for up to a minute: machines are busy.

mod console;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The programs, as Debian's packages `chromium` and `chromium-driver` install them.
const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a condition is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The time zone of the browser: 5:45 ahead of UTC, so that no local time looks like a UTC time.
pub(super) const ZONE: (&str, time::UtcOffset) = ("Asia/Kathmandu", time::macros::offset!(+5:45));

/// The name of an element in answers of `WebDriver`.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser; it ends on drop, together with its chromedriver.
pub(super) struct Browser {
    http: Client<HttpConnector, Body>,
    /// URL of the session.
    session: String,
    _driver: Child,
    _output: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts one with a window of 1280 by 900 pixels; returns `None` if it is not installed.
    pub(super) async fn start() -> Option<Self> {
        if let Some(missing) = [CHROMIUM, DRIVER].into_iter().find(|program| !Path::new(program).exists()) {
            eprintln!("skipped: {missing} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut driver = driver(folder.path());
        let mut output = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(PATIENCE, port(&mut output)).await.expect("chromedriver does not start");
        let session = format!("http://127.0.0.1:{port}/session");
        let http = Client::builder(TokioExecutor::new()).build_http();
        let mut browser = Self { http, session, _driver: driver, _output: output, _folder: folder };
        let created = browser.command(Method::POST, "", capabilities()).await.unwrap();
        browser.session = format!("{}/{}", browser.session, created["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Sends a command of the session. Errors, such as `no such element`, are values too.
    pub(super) async fn command(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let body = if method == Method::POST { Body::from(body.to_string()) } else { Body::empty() };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.session)).body(body).unwrap();
        let response = self.http.request(request).await.unwrap();
        let is_success = response.status().is_success();
        let bytes = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        let value = serde_json::from_slice::<Value>(&bytes).unwrap()["value"].take();
        if is_success { Ok(value) } else { Err(value) }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, Value> {
        self.command(Method::POST, path, body).await
    }

    /// Opens a page.
    pub(super) async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await.unwrap();
    }

    /// Runs a script in the page, which may return a promise. The page's content security policy does not apply to it.
    pub(super) async fn script(&self, script: &str) -> Value {
        self.try_script(script).await.unwrap_or_else(|error| panic!("{script}: {error:?}"))
    }

    async fn try_script(&self, script: &str) -> Result<Value, Value> {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Sends a command of the Chrome `DevTools` Protocol.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await.unwrap()
    }

    /// Waits until an expression of JavaScript is true; returns its value.
    pub(super) async fn until(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.patiently(expression, async || {
            // Between two pages there is no document to ask.
            let value = self.try_script(&script).await.unwrap_or_default();
            let is_true = !matches!(value, Value::Null | Value::Bool(false));
            is_true.then_some(value)
        })
        .await
    }

    /// Waits until the page shows a text.
    pub(super) async fn sees(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Waits until the page has this title, which begins with its heading.
    pub(super) async fn arrives(&self, title: &str) {
        self.until(&format!("document.readyState === 'complete' && document.title.startsWith({})", json!(title))).await;
    }

    /// Clicks on a button by its label.
    pub(super) async fn press(&self, label: &str) {
        self.click("xpath", &format!("//button[normalize-space()='{label}']")).await;
    }

    /// Clicks on a link by its text.
    pub(super) async fn follow(&self, text: &str) {
        self.click("xpath", &format!("//a[normalize-space()='{text}']")).await;
    }

    /// Clicks on an element.
    pub(super) async fn click_on(&self, selector: &str) {
        self.click("css selector", selector).await;
    }

    async fn click(&self, using: &str, value: &str) {
        self.act(using, value, "click", json!({})).await;
    }

    /// Types into a field. `\u{e007}` is Enter.
    pub(super) async fn fill(&self, selector: &str, text: &str) {
        self.act("css selector", selector, "value", json!({ "text": text })).await;
    }

    /// Does something with an element, as soon as it is there and nothing covers it.
    async fn act(&self, using: &str, value: &str, action: &str, body: Value) {
        self.patiently(&format!("{action} {value}"), async || {
            let found = self.post("/element", json!({ "using": using, "value": value })).await.ok()?;
            let path = format!("/element/{}/{action}", found[ELEMENT].as_str().unwrap());
            self.post(&path, body.clone()).await.ok()
        })
        .await;
    }

    /// Presses keys, one after another, whatever has the focus.
    pub(super) async fn keys(&self, keys: &str) {
        let actions =
            keys.chars().flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions.collect::<Vec<_>>() });
        self.post("/actions", json!({ "actions": [keyboard] })).await.unwrap();
    }

    /// Returns whether a dialog such as that of `alert` is open.
    pub(super) async fn has_dialog(&self) -> bool {
        self.command(Method::GET, "/alert/text", Value::Null).await.is_ok()
    }

    /// Minimizes the window, which hides the page, or restores it.
    pub(super) async fn minimize(&self, is_minimized: bool) {
        let (path, body) =
            if is_minimized { ("/window/minimize", json!({})) } else { ("/window/rect", json!({ "x": 0 })) };
        self.post(path, body).await.unwrap();
    }

    async fn patiently<T>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
        let successful = async {
            loop {
                if let Some(value) = attempt().await {
                    return value;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        if let Ok(value) = tokio::time::timeout(PATIENCE, successful).await {
            return value;
        }
        panic!("timed out waiting for: {what}; the page is {}", self.description().await)
    }

    async fn description(&self) -> Value {
        self.try_script("return location.href + '\\n' + document.body.innerText").await.unwrap_or_default()
    }
}

fn driver(folder: &Path) -> Child {
    Command::new(DRIVER)
        .arg("--port=0")
        .env("TZ", ZONE.0)
        // What it writes disappears with the folder, even if it is killed.
        .env("TMPDIR", folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Reads the port that it chose: `ChromeDriver was started successfully on port 34567.`
async fn port(output: &mut Lines<BufReader<ChildStdout>>) -> u16 {
    loop {
        let line = output.next_line().await.unwrap().expect("chromedriver ended");
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
}

fn capabilities() -> Value {
    let arguments = [
        "--headless=new",
        // Tests may run as root, in a container with a small /dev/shm.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1280,900",
        // Over a pipe: the browser ends when its driver does.
        "--remote-debugging-pipe",
    ];
    let options = json!({ "binary": CHROMIUM, "args": arguments });
    let logs = json!({ "browser": "ALL", "performance": "ALL" });
    let wanted = json!({
        "goog:chromeOptions": options, "goog:loggingPrefs": logs, "unhandledPromptBehavior": "ignore",
    });
    json!({ "capabilities": { "alwaysMatch": wanted } })
}
