//! The URL of the ledger: from a file or a command while the password is rotated, and with an IPv6 address.

use std::path::Path;
use std::time::{Duration, Instant};

use muster::config::DatabaseConfig;
use muster::ledger::Ledger;
use percent_encoding::percent_decode_str;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use tokio::net::{TcpListener, UnixStream};

use crate::factory::{Factory, Program};
use crate::server::Server;

const PASSWORDS: [&str; 3] = ["CanaryOfTheFirst", "CanaryOfTheSecond", "CanaryOfTheThird"];

/// Creates a factory on its own server, where the role `ada` needs a password.
async fn with_a_password() -> (Factory, Server) {
    let (mut factory, server) = (Factory::new(1000.0).await, Server::start().await);
    let url = server.url("none");
    let settings = DatabaseConfig { url: url.as_str().into(), ..DatabaseConfig::default() };
    factory.ledger = Ledger::connect(&settings.settings()).await.unwrap();
    factory.ledger.migrate().await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let hba: String = sqlx::query_scalar("show hba_file").fetch_one(&pool).await.unwrap();
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local all ada scram-sha-256\n{rules}")).unwrap();
    sqlx::query("create role ada login superuser").execute(&pool).await.unwrap();
    sqlx::query("select pg_reload_conf()").execute(&pool).await.unwrap();
    factory.database.pool = pool;
    (factory, server)
}

async fn alter_password(pool: &PgPool, password: &str) {
    sqlx::query(AssertSqlSafe(format!("alter role ada password '{password}'"))).execute(pool).await.unwrap();
}

/// Terminates every connection of `ada`.
async fn terminate_connections(pool: &PgPool) {
    let query = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ada'";
    sqlx::query(query).execute(pool).await.unwrap();
}

fn write_url(file: &Path, server: &Server, password: &str) {
    let new = file.with_extension("new");
    let url = server.url(password).replace("//postgres:", "//ada:");
    std::fs::write(&new, format!("{url}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Sends twenty more jobs and waits until they are done.
async fn register_twenty(factory: &Factory, n_done: &mut usize) {
    factory.enqueue(&factory.leaves(20)).await;
    *n_done += 20;
    let n = *n_done;
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == n as u64).await;
    assert_eq!(factory.n_calls(), n);
}

/// Rotates the password twice under a worker that reads it through the given setting.
async fn survives_a_rotation(setting: &str, value: impl Fn(&Path) -> String) {
    let (factory, server) = with_a_password().await;
    let pool = &factory.database.pool;
    let file = factory.folder().join("url");
    let [first, second, third] = PASSWORDS;
    write_url(&file, &server, first);
    alter_password(pool, first).await;
    let mut command = factory.command(&["serve"]);
    command.env(setting, value(&file)).env("MUSTER__LOG__FILTER", "trace");
    let program = Program(command.spawn().unwrap());
    let mut n_done = 0;
    register_twenty(&factory, &mut n_done).await;

    // The file first, as rotation tools do when both passwords are valid for a while.
    write_url(&file, &server, second);
    alter_password(pool, second).await;
    terminate_connections(pool).await;
    register_twenty(&factory, &mut n_done).await;

    // The role first: until the file follows, every login fails.
    alter_password(pool, third).await;
    terminate_connections(pool).await;
    factory.enqueue(&factory.leaves(1)).await;
    write_url(&file, &server, third);
    n_done += 1;
    register_twenty(&factory, &mut n_done).await;

    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(PASSWORDS.iter().all(|password| !log.contains(password)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_survives_a_rotated_password_in_a_file() {
    survives_a_rotation("MUSTER__DATABASE__URL_FILE", |file| file.display().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_survives_a_rotated_password_from_a_command() {
    survives_a_rotation("MUSTER__DATABASE__URL_COMMAND", |file| format!("cat '{}'", file.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_a_hanging_url_command() {
    let factory = Factory::new(10.0).await;
    let mut command = factory.command(&["serve", "--set=database.timeout=1s"]);
    command.env("MUSTER__DATABASE__URL_COMMAND", "echo CanaryOfTheOutput; sleep 600");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("database url: `database.url_command` returned no URL within 500 ms\nhint: check "), "{log}");
    assert!(!log.contains("CanaryOfTheOutput"), "{log}");
}

/// Runs a command with its URL in a setting; returns the exit code and its output.
async fn run_with(factory: &Factory, arguments: &[&str], setting: &str, value: &str) -> (Option<i32>, String) {
    let mut command = factory.command(arguments);
    command.env(format!("MUSTER__DATABASE__{setting}"), value);
    let run = tokio::time::timeout(Duration::from_secs(30), Program(command.spawn().unwrap()).wait());
    let (code, stdout, log) = run.await.expect("the command does not exit");
    (code, stdout + &log)
}

/// Premise: a thread waiting for the writer of a FIFO kept the process from exiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_as_url_file_is_an_error() {
    let factory = Factory::new(10.0).await;
    let fifo = factory.folder().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for command in ["serve", "status"] {
        let (code, output) = run_with(&factory, &[command], "URL_FILE", &fifo.display().to_string()).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("named by `database.url_file`: it is not a regular file"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_the_setting_with_a_broken_url() {
    let factory = Factory::new(10.0).await;
    let file = factory.folder().join("url");
    std::fs::write(&file, "postgres://a:b@c:port/d").unwrap();
    let path = file.display().to_string();
    for (setting, value, hint) in [
        ("URL", "postgres://a:b@c:port/d", "check `database.url`"),
        ("URL_FILE", &*path, "check what is in the file of `database.url_file`"),
        ("URL_COMMAND", "echo postgres://a:b@c:port/d", "check what the command of `database.url_command` prints"),
    ] {
        for command in ["status", "doctor"] {
            let (_, output) = run_with(&factory, &[command], setting, value).await;
            assert!(output.contains(hint), "{command}: {output}");
        }
    }
}

/// Premise: a pool retries until its timeout, and reports only the timeout.
#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_a_failed_connection_is_reported_at_once() {
    let factory = Factory::new(10.0).await;
    for (host, expected) in [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid", "lookup")] {
        let began = Instant::now();
        let url = format!("postgres://a:b@{host}/d");
        let (code, log) = run_with(&factory, &["status"], "URL", &url).await;
        assert_eq!(code, Some(5), "{log}");
        assert!(log.contains(expected) && began.elapsed() < Duration::from_secs(6), "{:?}: {log}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_once() {
    let (factory, server) = with_a_password().await;
    let url = server.url("wrong").replace("//postgres:", "//ada:");
    let (code, log) = run_with(&factory, &["status"], "URL", &url).await;
    assert_eq!(code, Some(4), "{log}");
    assert_eq!(log.matches("password authentication failed").count(), 1, "{log}");
    assert!(!log.contains("at line"), "{log}");
}

/// Premise: sqlx takes the brackets of an IPv6 address for part of a host name, which it then cannot resolve.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_at_an_ipv6_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let server = Server::start().await;
    let (_, host) = server.url("none").split_once('@').map(|(user, host)| (user.to_owned(), host.to_owned())).unwrap();
    let (folder, port) = host.trim_end_matches("/postgres").rsplit_once(':').unwrap();
    let socket = format!("{}/.s.PGSQL.{port}", percent_decode_str(folder).decode_utf8().unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut postgres = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut postgres).await });
        }
    });
    let url = format!("postgres://postgres@{address}/postgres");
    let settings = DatabaseConfig { url: url.into(), ..DatabaseConfig::default() };
    let ledger = Ledger::connect(&settings.settings()).await.unwrap();
    ledger.ping().await.unwrap();
}
