//! Reads the URL of the ledger anew for new connections, where it may change.

use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use tokio::sync::Mutex;
use tracing::warn;

use super::{Ledger, LedgerError, options_of};
use crate::config::database_settings::DatabaseSettings;

/// A URL that may change.
#[derive(Debug)]
pub(super) struct Renewal {
    settings: DatabaseSettings,
    /// When it was last begun to read it: one at a time, and whoever waits meanwhile shares what is read next.
    begun_at: Mutex<Option<Instant>>,
}

impl Renewal {
    /// The renewal of settings whose URL may change.
    pub(super) fn of(settings: &DatabaseSettings) -> Option<Self> {
        settings.url.may_change().then(|| Self { settings: settings.clone(), begun_at: Mutex::default() })
    }

    /// Has further connections made with the URL as it is now.
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
        let makes_one = self.pool.num_idle() == 0 && self.pool.size() < self.pool.options().get_max_connections();
        if makes_one && let Err(error) = renewal.renew(&self.pool).await {
            // The last one may still be right: a file is not there for a moment while it is replaced.
            warn!(%error, "the URL of the ledger cannot be read anew, the last one is used");
        }
        match self.pool.acquire().await.map_err(LedgerError::from) {
            // An idle connection turned out to be broken, and its successor was made with what was read long ago.
            Err(error) if error.is_login_refused() => {
                renewal.renew(&self.pool).await?;
                Ok(self.pool.acquire().await?)
            }
            acquired => acquired,
        }
    }
}
