//! The whole service: a worker, the listener for its metrics and health, and the one for the ops page.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::admin::Admin;
use super::listener::Listening;
use super::site::Site;
use crate::config::Config;
use crate::engine::serve::{Connected, Engine, Until};
use crate::telemetry::metrics::Metrics;

/// A started service.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    /// The listener of metrics and health, if one is configured.
    admin: Option<Listening>,
    /// The listener of the ops page, if one is configured.
    page: Option<Listening>,
    metrics: Arc<Metrics>,
}

impl Service {
    /// Connects, binds the listener if one is configured, and starts to receive. Configuration and connection errors
    /// surface here, not in [`Service::run`].
    ///
    /// # Errors
    /// A dependency is unreachable or unusable, the settings do not fit it, or the address cannot be bound.
    pub async fn start(config: &Config, until: Until, stop: CancellationToken) -> anyhow::Result<Self> {
        let connected = Connected::connect(config, stop).await?;
        let admin = listen(&connected).await?;
        let page = Site::listen_beside_worker(config).await?;
        let metrics = Arc::clone(&connected.metrics);
        Ok(Self { engine: connected.start(until)?, admin, page, metrics })
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Returns the address of metrics and health, if a listener is configured.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listening| listening.address().ok())
    }

    /// Returns the URL of the ops page, if a listener is configured.
    pub fn page_url(&self) -> Option<String> {
        self.page.as_ref().and_then(|listening| listening.url().ok())
    }

    /// Works until it is stopped, then drains. Serves metrics, health and the ops page until it
    /// returns.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub async fn run(self) -> anyhow::Result<()> {
        let (mut listeners, stop) = (JoinSet::new(), CancellationToken::new());
        for listening in [self.admin, self.page].into_iter().flatten() {
            listeners.spawn(listening.run(stop.clone()));
        }
        let result = self.engine.run().await;
        stop.cancel();
        listeners.join_all().await;
        result
    }
}

async fn listen(connected: &Connected<'_>) -> anyhow::Result<Option<Listening>> {
    let Some(address) = connected.config().admin.listen else { return Ok(None) };
    let admin = Admin {
        metrics: Arc::clone(&connected.metrics),
        slots: connected.slots.clone(),
        board: connected.board.clone(),
        ledger: connected.ledger().clone(),
        queue: connected.queue().clone(),
        stop: connected.stop.clone(),
        checks: Arc::default(),
    };
    let listening = admin.bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    info!(address = %listening.address()?, "metrics and health");
    Ok(Some(listening))
}
