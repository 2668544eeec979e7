//! Fresh databases for tests, on one server for the whole test binary.
//!
//! The server is the one named by `DATABASE_URL`, or an embedded one that stops with the test process. Migrations run
//! once, in a template; every test gets a copy of it.

use std::sync::atomic::{AtomicU32, Ordering};

use muster::ledger::Ledger;
use muster_sandbox::postgres::{Postgres, PostgresSettings};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// Prefix of the names of all test databases.
const PREFIX: &str = "muster_test_";

/// The database from which all others are copied.
const TEMPLATE: &str = "muster_test_template";

/// A server on which tests can create databases.
enum Server {
    Given(String),
    Embedded(Postgres),
}

impl Server {
    /// Finds or starts the server. On a given server, databases left by an earlier run are dropped, so only one test
    /// run may use it at a time.
    async fn start() -> Self {
        let Ok(url) = std::env::var("DATABASE_URL") else {
            let bin_dir = std::env::var_os("PG_BIN").map(Into::into);
            return Self::Embedded(Postgres::start(PostgresSettings { bin_dir, durable: false }).await.unwrap());
        };
        let mut server = PgConnection::connect(&url).await.unwrap();
        let old = sqlx::query_scalar("select datname from pg_database where starts_with(datname, $1)").bind(PREFIX);
        for name in old.fetch_all(&mut server).await.unwrap() as Vec<String> {
            server.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await.unwrap();
        }
        Self::Given(url)
    }

    fn database(&self, name: &str) -> PgConnectOptions {
        let url = match self {
            Self::Given(url) => url,
            Self::Embedded(postgres) => postgres.url(),
        };
        url.parse::<PgConnectOptions>().unwrap().database(name)
    }

    async fn execute(&self, sql: String) {
        let mut connection = self.database("postgres").connect().await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A private database for one test.
pub(crate) struct Database {
    pub(crate) url: String,
    /// A connection besides the program's own, to inspect what it wrote.
    pub(crate) pool: PgPool,
}

impl Database {
    /// Creates a copy of a template that is migrated once for the whole binary.
    pub(crate) async fn fresh() -> Self {
        static SERVER: OnceCell<Server> = OnceCell::const_new();
        static MIGRATED: OnceCell<()> = OnceCell::const_new();
        static N_CREATED: AtomicU32 = AtomicU32::new(0);

        let server = SERVER.get_or_init(Server::start).await;
        let fill = async || {
            server.execute(format!("create database {TEMPLATE}")).await;
            let ledger = ledger(server.database(TEMPLATE).to_url_lossy().as_str()).await;
            ledger.migrate().await.unwrap();
            ledger.close().await;
        };
        MIGRATED.get_or_init(fill).await;
        let name = format!("{PREFIX}{}", N_CREATED.fetch_add(1, Ordering::Relaxed));
        server.execute(format!("create database {name} template {TEMPLATE}")).await;
        let options = server.database(&name);
        let url = options.to_url_lossy().to_string();
        Self { url, pool: PgPool::connect_lazy_with(options) }
    }

    /// Creates a database that sorts text linguistically, where case and punctuation do not separate names.
    pub(crate) async fn with_icu_collation() -> Self {
        let given = Self::fresh().await;
        let name = format!("{}_icu", given.url.rsplit('/').next().unwrap().split('?').next().unwrap());
        let create =
            format!("create database {name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'en'");
        sqlx::query(AssertSqlSafe(create)).execute(&given.pool).await.unwrap();
        let options = given.url.parse::<PgConnectOptions>().unwrap().database(&name);
        let database = Self { url: options.to_url_lossy().to_string(), pool: PgPool::connect_lazy_with(options) };
        database.ledger().await.migrate().await.unwrap();
        database
    }

    /// Opens the ledger as the program does.
    pub(crate) async fn ledger(&self) -> Ledger {
        ledger(&self.url).await
    }
}

async fn ledger(url: &str) -> Ledger {
    let config = muster::config::DatabaseConfig { url: url.into(), ..Default::default() };
    Ledger::connect(&config.settings()).await.unwrap()
}
