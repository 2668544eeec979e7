//! `PgBouncer` between Muster and Postgres: in session mode everything works; in transaction mode nothing stays locked,
//! and an old version is reported together with the fix.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_core::outcome::Code;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::factory::Factory;

/// How long a command may take here.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `PgBouncer`; stopped on drop.
struct Pooler {
    port: u16,
    _running: Child,
    _folder: tempfile::TempDir,
}

fn program() -> Option<PathBuf> {
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
        .map(PathBuf::from)
        .into_iter()
        .find(|p| p.exists())
}

impl Pooler {
    /// Starts one in front of the server at `url`; returns `None` if it is not installed.
    async fn start(url: &str, mode: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: pgbouncer is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let settings = folder.path().join("pgbouncer.ini");
        std::fs::write(&settings, configuration(url, mode, port)).unwrap();
        let running = start(&program, &settings, owner(url));
        let reached = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("pgbouncer does not listen");
        Some(Self { port, _running: running, _folder: folder })
    }

    /// Returns the URL of a database behind it.
    fn url(&self, direct: &str) -> String {
        let options: PgConnectOptions = direct.parse().unwrap();
        format!("postgres://muster@127.0.0.1:{}/{}?sslmode=disable", self.port, options.get_database().unwrap())
    }
}

fn configuration(url: &str, mode: &str, port: u16) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let user = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(user, _)| user);
    let password = user.split_once(':').map_or_else(String::new, |(_, password)| format!("password={password}"));
    format!(
        "[databases]\n* = host={host} port={} user={} {password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nauth_type = any\npool_mode = {mode}\nmax_client_conn = 100\ndefault_pool_size = 10\n\
         ignore_startup_parameters = extra_float_digits\nunix_socket_dir =\n",
        options.get_port(),
        options.get_username(),
    )
}

/// Returns the owner of the server's socket, if it is reached over a socket in its own folder.
fn owner(url: &str) -> Option<u32> {
    let options: PgConnectOptions = url.parse().unwrap();
    options.get_socket().map(|folder| std::fs::metadata(folder).unwrap().uid())
}

/// Starts it as the owner of the server: it refuses to run as root, and other users cannot reach the socket.
fn start(program: &Path, settings: &Path, owner: Option<u32>) -> Child {
    let mut command = Command::new(program);
    if let Some(owner) = owner {
        for path in [settings.parent().unwrap(), settings] {
            std::os::unix::fs::chown(path, Some(owner), None).unwrap();
        }
        command.uid(owner);
    }
    command.arg(settings).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Runs the program behind a pooler; returns the exit code and its output.
async fn run(factory: &Factory, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let setting = format!("database.url={url}");
    let arguments = [arguments, &["--set", &setting]].concat();
    let output = tokio::time::timeout(PATIENCE, factory.spawn(&arguments).wait());
    let (code, _, stderr) = output.await.unwrap_or_else(|_| panic!("{arguments:?} does not end"));
    (code, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_session_mode_everything_works() {
    let factory = Factory::new(1000.0).await;
    let Some(pooler) = Pooler::start(&factory.database.url, "session").await else { return };
    let url = pooler.url(&factory.database.url);
    factory.enqueue(&factory.leaves(20)).await;
    for arguments in [&["migrate"][..], &["serve", "--until-empty"]] {
        let (code, stderr) = run(&factory, &url, arguments).await;
        assert_eq!(code, Some(0), "{stderr}");
    }
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 20)]));
}

/// Debian's `PgBouncer` 1.18 loses prepared statements in this mode; later versions keep them.
#[tokio::test(flavor = "multi_thread")]
async fn transaction_mode_leaves_no_lock_and_an_old_pooler_is_named() {
    let factory = Factory::new(1000.0).await;
    let Some(pooler) = Pooler::start(&factory.database.url, "transaction").await else { return };
    let url = pooler.url(&factory.database.url);
    factory.enqueue(&factory.leaves(20)).await;
    for arguments in [&["migrate"][..], &["migrate"], &["serve", "--until-empty"]] {
        let (code, stderr) = run(&factory, &url, arguments).await;
        assert!(code == Some(0) || stderr.contains("max_prepared_statements"), "{arguments:?} {code:?}: {stderr}");
    }
    // The doctor prints the same hint as the other commands.
    let setting = format!("database.url={url}");
    let (_, findings, stderr) = factory.spawn(&["doctor", "--set", &setting]).wait().await;
    let blames_the_pooler = findings.contains("prepared statement");
    assert!(!blames_the_pooler || findings.contains("max_prepared_statements"), "{findings} {stderr}");
    assert!(!findings.contains("check `database.url`"), "{findings} {stderr}");
    let (code, stderr) = run(&factory, &factory.database.url, &["migrate"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("waiting for another process"), "a lock stayed behind: {stderr}");
    let (code, stderr) = run(&factory, &factory.database.url, &["serve", "--until-empty"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 20)]));
}
