//! An ops page with a browser in front of it, and everything behind it.

use std::net::SocketAddr;

use muster::config::Config;
use muster::http::site::Site;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chromium::Browser;
use crate::factory::Factory;

/// The token of somebody who may read.
pub(super) const VIEWER: &str = "0123456789abcdef0123456789abcdef";

/// The token of somebody who may read and change.
pub(super) const OPERATOR: &str = "fedcba9876543210fedcba9876543210";

pub(super) struct Stage {
    pub(super) factory: Factory,
    pub(super) browser: Browser,
    page: Page,
}

/// The listener of the page. Workers run beside it, so that a test decides when they work.
struct Page {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Page {
    async fn serve(config: &Config, port: u16) -> Self {
        let mut config = config.clone();
        config.http.listen = Some(([127, 0, 0, 1], port).into());
        config.http.tokens = format!("viewer vic {VIEWER}; operator eva {OPERATOR}").into();
        let listening = Site::listen(&config).await.unwrap().unwrap();
        let (address, stop) = (listening.address().unwrap(), CancellationToken::new());
        Self { address, stop: stop.clone(), task: tokio::spawn(listening.run(stop)) }
    }
}

impl Stage {
    /// Creates an ops page with an empty ledger; returns `None` if there is no browser.
    pub(super) async fn open() -> Option<Self> {
        let browser = Browser::start().await?;
        let factory = Factory::new(1000.0).await;
        let page = Page::serve(&factory.config, 0).await;
        Some(Self { factory, browser, page })
    }

    /// Creates an ops page and logs in.
    pub(super) async fn open_as(token: &str) -> Option<Self> {
        let stage = Self::open().await?;
        stage.visit("/").await;
        stage.log_in(token).await;
        stage.browser.arrives("Overview").await;
        Some(stage)
    }

    /// Returns the scheme, host and port of the page.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.page.address)
    }

    /// Opens the page at a path.
    pub(super) async fn visit(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.origin())).await;
    }

    /// Fills in the login form.
    pub(super) async fn log_in(&self, token: &str) {
        self.browser.arrives("Log in").await;
        self.browser.fill("#token", token).await;
        self.browser.press("Log in").await;
    }

    /// Stops serving the page.
    pub(super) async fn stop_page(&mut self) {
        self.page.stop.cancel();
        (&mut self.page.task).await.unwrap();
    }

    /// Serves the page again, at the same address.
    pub(super) async fn restart_page(&mut self) {
        self.page = Page::serve(&self.factory.config, self.page.address.port()).await;
    }

    /// Ends the test; see [`Browser::finish`].
    pub(super) async fn finish(self, expected: &[&str]) {
        let origin = self.origin();
        self.browser.finish(&origin, expected).await;
        self.page.stop.cancel();
        self.page.task.await.unwrap();
    }
}
