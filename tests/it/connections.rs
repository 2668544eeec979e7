//! Connections that break or go silent: the pool must not keep them.

use std::sync::Arc;
use std::time::Duration;

use muster::config::Config;
use muster::config::database_settings::DatabaseSettings;
use muster::ledger::{Ledger, LedgerError};
use muster_core::outcome::Code;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Postgres, Transaction};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::database::Database;
use crate::ledger::{page, row};

/// Maximum number of connections of the ledger in these tests.
const CONNECTIONS: u32 = 2;

/// A proxy between the program and Postgres.
struct Proxy {
    port: u16,
    silence: Arc<Notify>,
}

impl Proxy {
    async fn before(database: &Database) -> Self {
        let server: PgConnectOptions = database.url.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), silence: Arc::default() };
        let silence = Arc::clone(&proxy.silence);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&silence)));
            }
        });
        proxy
    }

    /// Silences every current connection forever; new ones work.
    fn silence(&self) {
        self.silence.notify_waiters();
    }

    async fn ledger(&self, database: &Database) -> Ledger {
        let server: PgConnectOptions = database.url.parse().unwrap();
        let proxied = if server.get_socket().is_some() {
            let (user, database) = (server.get_username(), server.get_database().unwrap());
            format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
        } else {
            server.host("127.0.0.1").port(self.port).to_url_lossy().to_string()
        };
        ledger(&proxied, CONNECTIONS).await
    }
}

async fn ledger(url: &str, max_connections: u32) -> Ledger {
    let config = muster::config::DatabaseConfig { url: url.into(), ..Config::default().database };
    let settings = DatabaseSettings { timeout: Duration::from_secs(2), max_connections, ..config.settings() };
    Ledger::connect(&settings).await.unwrap()
}

async fn pass(client: TcpStream, server: PgConnectOptions, silence: Arc<Notify>) {
    let (host, port) = (server.get_host(), server.get_port());
    if let Some(folder) = server.get_socket() {
        let server = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await.unwrap();
        copy(client, server, silence).await;
    } else {
        copy(client, TcpStream::connect((host, port)).await.unwrap(), silence).await;
    }
}

async fn copy(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin, silence: Arc<Notify>) {
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        // Both ends stay open, as behind a network that drops everything.
        () = silence.notified() => std::future::pending().await,
    }
}

/// Blocks every page, because each page updates the counters.
async fn block_pages(database: &Database) -> Transaction<'static, Postgres> {
    let mut gate = database.pool.begin().await.unwrap();
    sqlx::query("lock table batch_counters in exclusive mode").execute(&mut *gate).await.unwrap();
    gate
}

async fn until_blocked(database: &Database, n: u32) {
    let query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(query).fetch_one(&database.pool).await.unwrap() < i64::from(n) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_replaced() {
    let database = Database::fresh().await;
    let proxy = Proxy::before(&database).await;
    let ledger = proxy.ledger(&database).await;
    for round in 0..3 {
        let gate = block_pages(&database).await;
        let mut recording = JoinSet::new();
        for n in 0..CONNECTIONS {
            let ledger = ledger.clone();
            recording.spawn(async move { ledger.record(&page(vec![row(100 * round + n, Code::Ok)])).await });
        }
        until_blocked(&database, CONNECTIONS).await;
        proxy.silence();
        for recorded in recording.join_all().await {
            assert!(matches!(recorded, Err(LedgerError::Timeout(_))), "{recorded:?}");
        }
        gate.rollback().await.unwrap();
        ledger.ping().await.expect("the pool has no room for a new connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_read_only_server_are_replaced() {
    let database = Database::fresh().await;
    let name = database.url.parse::<PgConnectOptions>().unwrap().get_database().unwrap().to_owned();
    let read_only = async |is_on: bool| {
        let sql = format!("alter database {name} set default_transaction_read_only = {is_on}");
        let mut connection = database.pool.acquire().await.unwrap();
        sqlx::query("set default_transaction_read_only = off").execute(&mut *connection).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    };
    read_only(true).await;
    // Its connections start read-only, as on a demoted primary.
    let ledger = ledger(&database.url, 1).await;
    for n in 0..3 {
        let error = ledger.record(&page(vec![row(n, Code::Ok)])).await.unwrap_err();
        assert_eq!(error.class(), "25", "{error}");
    }
    read_only(false).await;
    let mut tries = 0;
    while ledger.record(&page(vec![row(1, Code::Ok)])).await.is_err() {
        tries += 1;
        assert!(tries < 20, "read-only connections are not replaced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_its_client_releases_its_locks() {
    let database = Database::fresh().await;
    let proxy = Proxy::before(&database).await;
    let lost = proxy.ledger(&database).await;
    let ledger = database.ledger().await;
    ledger.record(&page(vec![row(1, Code::Timeout)])).await.unwrap();
    let gate = block_pages(&database).await;
    let losing = tokio::spawn(async move { lost.record(&page(vec![row(1, Code::Transport)])).await });
    until_blocked(&database, 1).await;
    // The server continues, but never hears from the client again.
    proxy.silence();
    gate.rollback().await.unwrap();
    assert!(losing.await.unwrap().is_err());
    let written = async { while ledger.record(&page(vec![row(1, Code::Ok)])).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), written).await.expect("the row stays locked");
}
