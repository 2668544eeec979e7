//! The ops page and its API on one listener.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::{Method, StatusCode};
use tracing::{info, warn};

use super::guard::{Gate, Routes};
use super::listener::{Listening, Tls};
use super::problem::Problem;
use super::site::Site;
use super::{api, page};
use crate::config::Config;
use crate::config::database_settings::DatabaseSettings;
use crate::ledger::Ledger;

/// Connections to the ledger that the pages use. They are not those of the worker, which pages must not slow down.
const CONNECTIONS: u32 = 4;

/// What a page waits for beyond the time of one statement: a connection, the network.
const SLACK: Duration = Duration::from_secs(1);

impl Site {
    /// Binds the listener of `http.listen`; `None`: it is `off`.
    ///
    /// # Errors
    /// The access rules would let strangers in, the ledger cannot be reached, or the address cannot be bound.
    pub async fn listen(config: &Config) -> anyhow::Result<Option<Listening>> {
        let Some(address) = config.http.listen else { return Ok(None) };
        let tls = config.http.certificate.as_deref().zip(config.http.key.as_deref());
        let tls = tls.map(|(certificate, key)| Tls::read(certificate, key)).transpose()?;
        let ledger = Ledger::connect(&database(config)).await.context("cannot reach the ledger")?;
        ledger.check_schema().await?;
        let gate = Gate::new(&config.http, address, ledger.clone())?;
        let site = Self { config: Arc::new(config.clone()), ledger };
        let listening = Listening::bind(address, gate.protect(site.router()), tls).await;
        let listening = listening.with_context(|| format!("cannot listen on {address}"))?;
        info!(url = listening.url()?, "ops page");
        Ok(Some(listening))
    }

    /// Binds the listener for a worker. If another process has the address, such as another worker on this host, the
    /// worker goes on without a page.
    pub async fn listen_beside_worker(config: &Config) -> anyhow::Result<Option<Listening>> {
        match Self::listen(config).await {
            Err(error) if is_in_use(&error) => {
                warn!("{error:#}: this worker has no ops page; `http.listen` sets another address or `off`");
                Ok(None)
            }
            listening => listening,
        }
    }

    /// Returns every route with the role it needs, except those to log in and out.
    pub fn routes() -> Routes<Self> {
        page::routes().with(api::routes().0)
    }

    fn router(self) -> Router {
        let router = Self::routes().into_router();
        router.fallback(not_found).method_not_allowed_fallback(wrong_method).with_state(self)
    }
}

fn database(config: &Config) -> DatabaseSettings {
    let statement: Duration = config.http.statement_timeout.into();
    DatabaseSettings {
        max_connections: CONNECTIONS,
        timeout: statement + SLACK,
        statement_timeout: Some(statement),
        ..config.database.settings()
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::AddrInUse)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible at this address"))
}
