//! Lends one connection to one operation, and returns it to the pool only if it is known to be sound.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, Connection, Transaction};

use super::{Ledger, LedgerError};

impl Ledger {
    /// Runs one operation on a connection of its own, within the timeout.
    pub(super) async fn run<T>(
        &self,
        operation: impl AsyncFnOnce(&mut PgConnection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let work = async {
            let mut lent = Lent(Some(self.acquire().await?));
            let result = operation(lent.connection()).await;
            if result.as_ref().err().is_none_or(LedgerError::leaves_connection_sound) {
                lent.give_back(self.timeout);
            }
            result
        };
        tokio::time::timeout(self.timeout, work).await.unwrap_or(Err(LedgerError::Timeout(self.timeout)))
    }

    /// Begins a transaction that the server ends by itself if this process gives up or loses the connection: otherwise
    /// its locks would block every other process.
    pub(super) async fn begin<'c>(&self, db: &'c mut PgConnection) -> Result<Transaction<'c, Postgres>, LedgerError> {
        let ms = self.timeout.as_millis().max(1);
        let begin = format!(
            "begin isolation level read committed; set local statement_timeout = {ms}; set local idle_in_transaction_session_timeout = {ms}"
        );
        Ok(db.begin_with(AssertSqlSafe(begin)).await?)
    }
}

/// A connection that leaves the pool for good unless it is given back. If its operation is dropped while the connection
/// waits for an answer, the pool can then open a new one in its place.
struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("the connection is present until it is given back")
    }

    /// Gives the connection back to the pool.
    fn give_back(mut self, timeout: Duration) {
        let Some(mut connection) = self.0.take() else { return };
        // The pool first pings the server, and would wait for the answer forever.
        tokio::spawn(tokio::time::timeout(timeout, connection.return_to_pool()));
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Detached without closing it: the server may not answer.
        drop(self.0.take().map(PoolConnection::detach));
    }
}
