//! Rereads the URL of the ledger for new connections, if it may change.

use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use tokio::sync::Mutex;
use tracing::warn;

use super::{Ledger, LedgerError, options_of};
use crate::config::database_settings::DatabaseSettings;

/// A URL that may change, read from a file or a command.
#[derive(Debug)]
pub(super) struct Renewal {
    settings: DatabaseSettings,
    /// When the last read began. One read runs at a time, and callers that wait for it share its result
    /// (single-flight).
    begun_at: Mutex<Option<Instant>>,
}

impl Renewal {
    /// Returns a renewal, if the URL of the settings may change.
    pub(super) fn of(settings: &DatabaseSettings) -> Option<Self> {
        settings.url.may_change().then(|| Self { settings: settings.clone(), begun_at: Mutex::default() })
    }

    /// Rereads the URL and uses it for all further connections.
    async fn renew(&self, pool: &PgPool) -> Result<(), LedgerError> {
        let asked_at = Instant::now();
        let mut begun_at = self.begun_at.lock().await;
        if begun_at.is_some_and(|begun_at| begun_at >= asked_at) {
            return Ok(());
        }
        let begins_at = Instant::now();
        pool.set_connect_options(options_of(&self.settings).await?);
        *begun_at = Some(begins_at);
        Ok(())
    }
}

impl Ledger {
    /// Takes a connection from the pool.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, LedgerError> {
        let Some(renewal) = &self.renewal else { return Ok(self.pool.acquire().await?) };
        let opens_connection =
            self.pool.num_idle() == 0 && self.pool.size() < self.pool.options().get_max_connections();
        if opens_connection && let Err(error) = renewal.renew(&self.pool).await {
            // The last URL may still be right: a file is missing for a moment while it is replaced.
            warn!(%error, "cannot reread the URL of the ledger; using the last one");
        }
        match self.pool.acquire().await.map_err(LedgerError::from) {
            // An idle connection was broken, and the pool opened its successor with a URL that was read long ago.
            Err(error) if error.is_login_refused() => {
                renewal.renew(&self.pool).await?;
                Ok(self.pool.acquire().await?)
            }
            acquired => acquired,
        }
    }
}
