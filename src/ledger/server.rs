//! Facts about the database server for health checks: version, TLS, privileges, connections, and clock.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow, PgSslMode};
use sqlx::{Connection, Row as _};
use time::OffsetDateTime;

use super::{Ledger, LedgerError, is_local, migrations, options_of};
use crate::config::database_settings::DatabaseSettings;

/// The tables that a worker writes.
const WRITTEN: [&str; 15] = [
    "registrations",
    "batches",
    "batch_counters",
    "holds",
    "targets",
    "rate_limits",
    "rate_changes",
    "authorities",
    "quarantine",
    "queue_readings",
    "page_writers",
    "workers",
    "missing_counts",
    "minute_counts",
    "bulk_changes",
];

/// How long a server may refuse connections at startup, and how often a connection is tried.
const REFUSED_MAX: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// How the settings reach the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerRoute {
    /// Over a Unix socket or the loopback interface.
    pub is_local: bool,
    /// TLS verifies the certificate of the server.
    pub is_verified: bool,
}

/// The server and our connection to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its version as a number: 150004 is 15.4.
    pub version_number: i32,
    /// Its version as text, for example `15.4`.
    pub version: String,
    /// TLS version and cipher. `None`: the connection is not encrypted.
    pub tls: Option<(String, String)>,
    /// It accepts no writes, for example because it is a standby.
    pub is_read_only: bool,
    /// Greatest number of connections.
    pub max_connections: u32,
    /// Number of these that are reserved for superusers.
    pub reserved_connections: u32,
    /// Number of connections in use.
    pub used_connections: u32,
    /// Tables that a worker writes, but that our role may not write.
    pub forbidden: Vec<String>,
    /// Indexes of these tables that are invalid because their build was interrupted, and those that are missing.
    pub broken_indexes: Vec<String>,
}

/// The server's clock.
#[derive(Clone, Copy, Debug)]
pub struct ServerClock {
    /// How far it is ahead of our clock, in seconds; negative if it is behind.
    pub ahead: f64,
    /// How long the query took.
    pub round_trip: Duration,
}

impl DatabaseSettings {
    /// Returns how the server is reached.
    ///
    /// # Errors
    /// [`LedgerError::Url`] if the URL is not valid, [`LedgerError::UrlSource`] if it cannot be read.
    pub async fn route(&self) -> Result<ServerRoute, LedgerError> {
        let options = options_of(self).await?;
        let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa);
        Ok(ServerRoute { is_local: is_local(&options), is_verified })
    }

    /// Connects and disconnects. Retries within the timeout while the server is starting or has no connection left, and
    /// for at most 2 s while it refuses connections: it may be restarting.
    ///
    /// # Errors
    /// [`LedgerError::Url`] if the URL is not valid, otherwise the error of the connection. A pool would report only
    /// that its timeout expired.
    pub(super) async fn reach(&self) -> Result<(), LedgerError> {
        let began = Instant::now();
        loop {
            let Err(error) = self.connect_once().await else { return Ok(()) };
            let patience = if error.is_refused_connection() { REFUSED_MAX.min(self.timeout) } else { self.timeout };
            if !error.may_recover_soon() || began.elapsed() + RETRY_INTERVAL > patience {
                return Err(error);
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Connects once and disconnects.
    async fn connect_once(&self) -> Result<(), LedgerError> {
        let options = options_of(self).await?;
        let connect_once = async { Ok(PgConnection::connect_with(&options).await?.close().await?) };
        tokio::time::timeout(self.timeout, connect_once).await.unwrap_or(Err(LedgerError::Timeout(self.timeout)))
    }
}

impl Ledger {
    /// Returns the properties of the server and what our role may do there.
    pub async fn server(&self) -> Result<Server, LedgerError> {
        let query = "-- server
            select
                current_setting('server_version_num')::int as version_number,
                current_setting('server_version') as version,
                case when s.ssl then s.version end as tls_version,
                case when s.ssl then s.cipher end as tls_cipher,
                pg_is_in_recovery() or current_setting('transaction_read_only')::bool as is_read_only,
                current_setting('max_connections')::int as max_connections,
                current_setting('superuser_reserved_connections')::int as reserved,
                (select sum(numbackends)::int from pg_stat_database) as used,
                array(
                    select name
                    from unnest($1::text[]) as wanted (name)
                    where to_regclass(name) is not null
                        and not (
                            has_table_privilege(to_regclass(name), 'insert')
                            and has_table_privilege(to_regclass(name), 'update')
                            and has_table_privilege(to_regclass(name), 'delete')
                        )
                ) as forbidden,
                array(
                    select indexrelid::regclass::text
                    from pg_index
                    where not indisvalid and indrelid in (select to_regclass(name) from unnest($1::text[]) as wanted (name))
                    union
                    select name
                    from unnest($2::text[]) as ours (name)
                    where to_regclass(name) is null
                ) as broken_indexes
            from pg_stat_ssl s
            where s.pid = pg_backend_pid()";
        let indexes: Vec<_> = migrations::concurrent_indexes().map(|(index, _)| index).collect();
        self.run(async |db| read_server(&sqlx::query(query).bind(WRITTEN).bind(&indexes).fetch_one(db).await?)).await
    }

    /// Returns the time of the server's clock. It sets all times in the ledger, except those of a worker's own actions.
    pub async fn now(&self) -> Result<OffsetDateTime, LedgerError> {
        self.run(async |db| now(db).await).await
    }

    /// Compares the server's clock with ours, using the fastest of three answers.
    pub async fn clock(&self) -> Result<ServerClock, LedgerError> {
        const N_SAMPLES: usize = 3;
        self.run(async |db| {
            let mut best: Option<ServerClock> = None;
            for _ in 0..N_SAMPLES {
                let (began, asked_at) = (Instant::now(), OffsetDateTime::now_utc());
                let now = now(db).await?;
                let round_trip = began.elapsed();
                let ahead = (now - (asked_at + round_trip / 2)).as_seconds_f64();
                if best.is_none_or(|best| round_trip < best.round_trip) {
                    best = Some(ServerClock { ahead, round_trip });
                }
            }
            Ok(best.expect("the loop runs at least once"))
        })
        .await
    }
}

async fn now(db: &mut PgConnection) -> Result<OffsetDateTime, LedgerError> {
    Ok(sqlx::query_scalar("-- now\nselect clock_timestamp()").fetch_one(db).await?)
}

fn read_server(row: &PgRow) -> Result<Server, LedgerError> {
    let count = |column| Ok::<_, LedgerError>(u32::try_from(row.try_get::<i32, _>(column)?).unwrap_or(0));
    let tls: (Option<String>, Option<String>) = (row.try_get("tls_version")?, row.try_get("tls_cipher")?);
    Ok(Server {
        version_number: row.try_get("version_number")?,
        version: row.try_get("version")?,
        tls: tls.0.zip(tls.1),
        is_read_only: row.try_get("is_read_only")?,
        max_connections: count("max_connections")?,
        reserved_connections: count("reserved")?,
        used_connections: count("used")?,
        forbidden: row.try_get("forbidden")?,
        broken_indexes: row.try_get("broken_indexes")?,
    })
}
