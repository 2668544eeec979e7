//! The ledger in Postgres: the only SQL of the program.
//!
//! Each module below is one topic:
//! - outcomes: [`record`](Ledger::record) writes them, [`announcement`] records batches, [`written`] keeps a page from
//!   being written twice, [`known`] finds certificates that are already registered;
//! - queries for operators: [`batch`] counts, [`outcomes`] exports, [`certificate`] finds one certificate, [`missing`]
//!   counts missing certificates from the [`queue_readings`], [`facts`] counts over the fleet, [`failures`] lists what
//!   failed, [`history`] counts by the minute, [`workers`] holds the heartbeats, [`audit`] lists who did what;
//! - parked and resent jobs: [`hold`], [`waiting`], [`replay`], [`quarantine`]; [`bulk_change`] plans and follows
//!   changes of all that match;
//! - AWS's side: [`target`] ties a target's name to its account, [`authority`] holds the CAs, [`rate_limit`] shares the
//!   quota, [`drift`] compares the ledger with AWS;
//! - the ops page: [`session`] holds its logins;
//! - upkeep: [`migrations`], [`prune`], [`server`].
//!
//! Every operation, COMMIT included, has a client-side timeout: a server that stops in the middle of one never answers.
//! Only [`retry_conflicts`] retries.
//!
//! May use: [`config`](crate::config), [`runtime`](crate::runtime). Must not know: AWS calls, queues, commands.

pub mod announcement;
pub mod audit;
pub mod authority;
pub mod batch;
pub mod bulk_change;
pub mod certificate;
mod columns;
mod connection;
mod counters;
pub mod drift;
mod error;
pub mod facts;
pub mod failures;
pub mod history;
pub mod hold;
pub mod known;
pub mod migrations;
pub mod missing;
mod opening;
pub mod outcomes;
mod page;
mod pause;
pub mod prune;
pub mod quarantine;
pub mod queue_readings;
pub mod rate_limit;
mod record;
mod renewal;
pub mod replay;
pub mod row;
pub mod server;
pub mod session;
pub mod target;
pub mod waiting;
pub mod workers;
pub mod written;

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use tracing::subscriber::NoSubscriber;

use crate::config::database_settings::DatabaseSettings;
use crate::runtime::backoff::Backoff;

pub use batch::BatchStatus;
pub use error::{ERROR_CLASSES, LedgerError, POOLER_HINT};
pub use page::{MessageOrigin, Page, Quarantined};
pub use row::Row;

use renewal::Renewal;

/// How long [`Ledger::probe`] waits for the pool before it opens a connection of its own.
const PROBE_PATIENCE: Duration = Duration::from_millis(200);

/// The ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    pool: PgPool,
    timeout: Duration,
    /// Rereads the URL for new connections. `None`: the URL cannot change.
    renewal: Option<Arc<Renewal>>,
}

impl Ledger {
    /// Opens a pool of connections. The first one is opened at once, so that a wrong URL fails here.
    ///
    /// # Errors
    /// [`LedgerError::Url`] if the URL is not valid, otherwise the error of the first connection.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, LedgerError> {
        settings.reach().await?;
        let options = options_of(settings).await?;
        let statement_timeout = settings.statement_timeout;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.timeout)
            .after_connect(move |db, _| {
                Box::pin(async move {
                    read_committed(db).await?;
                    limit_statements(db, statement_timeout).await
                })
            })
            .connect_lazy_with(options);
        let renewal = Renewal::of(settings).map(Arc::new);
        let ledger = Self { pool, timeout: settings.timeout, renewal };
        ledger.ping().await?;
        Ok(ledger)
    }

    /// Checks that the server answers.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        self.run(async |db| Ok(sqlx::query("-- ping\nselect 1").execute(db).await.map(drop)?)).await
    }

    /// Checks that the server answers and, if it does not, returns the reason quickly.
    ///
    /// A pool keeps retrying until its timeout and then reports only the timeout. So after 200 ms without an answer
    /// this opens a connection outside the pool and returns its error.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        if let Ok(answer) = tokio::time::timeout(PROBE_PATIENCE, self.ping()).await {
            return answer;
        }
        let connect_once = async { Ok(PgConnection::connect_with(&self.pool.connect_options()).await?.close().await?) };
        tokio::time::timeout(self.timeout, connect_once).await.unwrap_or(Err(LedgerError::Timeout(self.timeout)))?;
        self.ping().await
    }

    /// Returns the same ledger with another timeout for each operation.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Returns the longest time that one operation may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes every connection.
    pub async fn close(&self) {
        // A server that does not answer must not delay the exit.
        let _ = tokio::time::timeout(self.timeout, self.pool.close()).await;
    }
}

/// Sets READ COMMITTED as the session default, so that a statement outside a transaction sees what others committed
/// while it waited for a row lock. The database or the role may have another default. This cannot be a connection
/// parameter: a pooler refuses parameters that it does not know.
async fn read_committed(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let query = "-- read_committed
        select set_config('default_transaction_isolation', 'read committed', false)
        where current_setting('default_transaction_isolation') <> 'read committed'";
    sqlx::raw_sql(query).execute(db).await.map(drop)
}

/// Sets the longest time of one statement for the session, if there is one.
async fn limit_statements(db: &mut PgConnection, timeout: Option<Duration>) -> Result<(), sqlx::Error> {
    let Some(timeout) = timeout else { return Ok(()) };
    let query = "-- limit_statements
        select set_config('statement_timeout', $1, false)";
    sqlx::query(query).bind(timeout.as_millis().to_string()).execute(db).await.map(drop)
}

/// Longest first wait, longest wait and number of attempts of an operation that conflicts with others.
const CONFLICT_RETRIES: (Duration, Duration, u32) = (Duration::from_millis(20), Duration::from_millis(500), 20);

/// Retries an operation that fails because of concurrent transactions: a deadlock or a serialization failure.
///
/// # Errors
/// Any other error at once; the last such failure after 20 attempts, which take some seconds.
pub async fn retry_conflicts<T>(attempt: impl AsyncFn() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    let (first, cap, n_attempts) = CONFLICT_RETRIES;
    Backoff::new(first, cap).retry(n_attempts, LedgerError::is_conflict, || attempt()).await
}

/// Parses one word of a closed set.
fn word<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|_| LedgerError::UnknownWord { column, found: text.to_owned() })
}

/// Replaces NUL with U+FFFD: Postgres text cannot hold NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Replaces the escape `\u0000` in JSON text, which `jsonb` refuses. The same six characters after an escaped backslash
/// are not an escape and stay: replacing them would break the JSON.
fn storable_json(json: String) -> String {
    if !json.contains(r"\u0000") {
        return json;
    }
    json.split(r"\\").map(|part| part.replace(r"\u0000", "\u{fffd}")).collect::<Vec<_>>().join(r"\\")
}

/// Reads the URL and parses it into connect options.
async fn options_of(settings: &DatabaseSettings) -> Result<PgConnectOptions, LedgerError> {
    // Half the timeout: the connection needs time too, and if reading the URL hangs, the error must say so.
    let url = settings.url.read(settings.timeout / 2).await.map_err(LedgerError::UrlSource)?;
    let options = connect_options(url.expose_secret(), settings.root_certificate.as_deref());
    options.map_err(|error| LedgerError::Url { setting: settings.url.setting(), error })
}

/// Parses the URL. The server's certificate is verified unless the URL says otherwise or the server is this machine.
fn connect_options(url: &str, root_certificate: Option<&Path>) -> Result<PgConnectOptions, sqlx::Error> {
    // sqlx logs an unknown parameter with its value, which may be a password.
    let options = tracing::subscriber::with_default(NoSubscriber::new(), || PgConnectOptions::from_str(url));
    let mut options = options?.application_name("muster");
    // sqlx treats the brackets of an IPv6 address as part of a host name.
    if let Some(address) = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = address.to_owned();
        options = options.host(&address);
    }
    if let Some(path) = root_certificate {
        options = options.ssl_root_cert(path);
    }
    // By default sqlx tries TLS and verifies nothing. An explicit choice in the URL stays.
    if !url.contains("sslmode=") && !url.contains("ssl-mode=") {
        let mode = if is_local(&options) { PgSslMode::Disable } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    Ok(options)
}

/// Returns whether the server is reached over a Unix socket or the loopback interface.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl_mode(url: &str) -> PgSslMode {
        connect_options(url, None).unwrap().get_ssl_mode()
    }

    #[test]
    fn escaped_nuls_are_replaced_and_json_stays_valid() {
        for text in ["plain", "a\0b", "\0", r"\u0000", "\\\0", r"\\u0000\", "\"\0\"", "\u{fffd}"] {
            let stored = storable_json(serde_json::to_string(text).unwrap());
            assert!(!stored.contains('\0'));
            assert_eq!(serde_json::from_str::<String>(&stored).unwrap(), storable(text), "{text:?}");
        }
    }

    #[test]
    fn ipv6_addresses_lose_their_brackets() {
        for (url, host, port) in [
            ("postgres://u@[::1]:5433/m", "::1", 5433),
            ("postgres://u:p@[2001:db8::7]/m", "2001:db8::7", 5432),
            ("postgres:///m?host=[::1]", "::1", 5432),
            ("postgres:///m?hostaddr=::1", "::1", 5432),
        ] {
            let options = connect_options(url, None).unwrap();
            assert_eq!((options.get_host(), options.get_port()), (host, port), "{url}");
        }
    }

    #[test]
    fn tls_is_verified_unless_local_or_set_by_the_url() {
        assert!(matches!(ssl_mode("postgres://u@db.example.com/m"), PgSslMode::VerifyFull));
        assert!(matches!(ssl_mode("postgres://u@10.0.0.7/m"), PgSslMode::VerifyFull));
        assert!(matches!(ssl_mode("postgres://u@127.0.0.1:5433/m"), PgSslMode::Disable));
        assert!(matches!(ssl_mode("postgres://u@localhost/m"), PgSslMode::Disable));
        assert!(matches!(ssl_mode("postgres://u@[::1]:5433/m"), PgSslMode::Disable));
        assert!(matches!(ssl_mode("postgres://u@[2001:db8::7]/m"), PgSslMode::VerifyFull));
        assert!(matches!(ssl_mode("postgres:///m?host=/run/postgresql"), PgSslMode::Disable));
        assert!(matches!(ssl_mode("postgres://u@db.example.com/m?sslmode=require"), PgSslMode::Require));
    }
}
