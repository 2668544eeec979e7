//! The embedded Postgres: starts, answers, stops with its owner, leaves nothing behind, as root and as a user.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use muster_sandbox::postgres::{Error, Postgres, PostgresSettings};
use sqlx::{Connection, PgConnection};

use crate::database::Database;

/// How long to wait for a server to exit: generous for a machine under load, not a measure of speed.
const PATIENCE: Duration = Duration::from_mins(1);

/// Set in a process that a test starts from this binary to own a server.
const OWNER: &str = "MUSTER_TEST_OWNS_POSTGRES";

fn settings() -> PostgresSettings {
    PostgresSettings { bin_dir: std::env::var_os("PG_BIN").map(PathBuf::from), durable: false }
}

async fn answer(url: &str) -> sqlx::Result<i32> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("select 1").fetch_one(&mut connection).await
}

#[tokio::test]
async fn a_server_answers_and_leaves_no_folder() {
    let postgres = Postgres::start(settings()).await.unwrap();
    let (url, folder) = (postgres.url().to_owned(), postgres.data_dir().parent().unwrap().to_owned());
    assert_eq!(answer(&url).await.unwrap(), 1);
    assert_ne!(fs::metadata(postgres.data_dir()).unwrap().uid(), 0, "postgres runs as root");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0, "others can reach the socket");
    postgres.stop().await.unwrap();
    assert!(!folder.exists());
    assert!(answer(&url).await.is_err());
}

#[tokio::test]
async fn dropping_a_server_stops_it() {
    let postgres = Postgres::start(settings()).await.unwrap();
    let other = Postgres::start(settings()).await.unwrap();
    let folder = postgres.data_dir().parent().unwrap().to_owned();
    drop(postgres);
    assert!(!folder.exists());
    assert_eq!(answer(other.url()).await.unwrap(), 1, "the other server is not affected");
}

#[tokio::test]
async fn a_folder_without_postgres_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let settings = PostgresSettings { bin_dir: Some(folder.path().to_owned()), durable: false };
    let error = Postgres::start(settings).await.unwrap_err();
    assert!(matches!(error, Error::BinDir { .. }), "{error}");
    assert!(error.to_string().contains("cannot run initdb: No such file"), "{error}");
}

/// Premise: a postmaster under SIGSTOP handles no other signal, and a failing fault test may leave it in that state.
#[tokio::test]
async fn a_frozen_server_is_stopped_too() {
    let postgres = Postgres::start(settings()).await.unwrap();
    let postmaster = fs::read_to_string(postgres.data_dir().join("postmaster.pid")).unwrap();
    let stopped =
        Command::new("sh").args(["-c", "kill -STOP $0", postmaster.lines().next().unwrap()]).status().unwrap();
    assert!(stopped.success());
    postgres.stop().await.unwrap();
}

/// Premise: the wrapper has removed the log's folder before the error is created.
#[tokio::test]
async fn a_server_that_exits_at_once_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (program, action) in [("initdb", "exit 0"), ("postgres", "echo out of luck >&2; exit 7")] {
        let script =
            format!("#!/bin/sh\ncase $1 in --version) echo '{program} (PostgreSQL) 18.0';; *) {action};; esac\n");
        fs::write(folder.path().join(program), script).unwrap();
        fs::set_permissions(folder.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let settings = PostgresSettings { bin_dir: Some(folder.path().to_owned()), durable: false };
    let error = Postgres::start(settings).await.unwrap_err();
    assert_eq!(error.to_string(), "postgres exited with exit status: 7:\nout of luck");
}

/// Premise: the owner cannot handle SIGKILL, so something else must stop the server and remove its folder.
#[tokio::test]
async fn killing_the_owner_stops_the_server() {
    if std::env::var_os(OWNER).is_some() {
        return own_until_stdin_closes().await;
    }
    let mut owner = Owner::spawn("killing_the_owner_stops_the_server", |_| ());
    assert_eq!(answer(&owner.url).await.unwrap(), 1);
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    wait_for_removal(owner.data_dir.parent().unwrap()).await;
    assert!(answer(&owner.url).await.is_err());
}

/// Premise: after a power failure no process is left to remove the folder.
#[tokio::test]
async fn the_next_start_removes_a_dead_servers_folder() {
    let first = Postgres::start(settings()).await.unwrap();
    let run = first.data_dir().ancestors().nth(2).unwrap();
    let made = tempfile::tempdir_in(run.parent().unwrap()).unwrap().keep();
    fs::write(made.join("log"), "").unwrap();
    // Moved there atomically: a start in another test may remove it at any time.
    let dead = run.join(made.file_name().unwrap());
    fs::rename(&made, &dead).unwrap();
    let second = Postgres::start(settings()).await.unwrap();
    assert!(!dead.exists());
    assert_eq!((answer(first.url()).await.unwrap(), answer(second.url()).await.unwrap()), (1, 1));
}

#[tokio::test]
async fn an_ordinary_users_server_is_in_the_home_folder() {
    if std::env::var_os(OWNER).is_some() {
        return own_until_stdin_closes().await;
    }
    let home = tempfile::tempdir().unwrap();
    if fs::metadata(home.path()).unwrap().uid() != 0 {
        println!("skipped: needs root to become another user; as a user all other tests show it");
        return;
    }
    let nobody = uid_of_nobody();
    chown(home.path(), Some(nobody), Some(nobody)).unwrap();
    let mut owner = Owner::spawn("an_ordinary_users_server_is_in_the_home_folder", |command| {
        command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").uid(nobody).gid(nobody);
    });
    assert!(owner.data_dir.starts_with(home.path().join(".cache/muster")), "{}", owner.data_dir.display());
    assert_eq!(fs::metadata(&owner.data_dir).unwrap().uid(), nobody);
    assert_eq!(answer(&owner.url).await.unwrap(), 1);
    drop(owner.process.stdin.take());
    assert!(owner.process.wait().unwrap().success());
    assert!(!owner.data_dir.parent().unwrap().exists());
}

#[tokio::test]
async fn fresh_databases_share_the_schema_and_nothing_else() {
    let (one, other) = (Database::fresh().await, Database::fresh().await);
    sqlx::query("insert into batches (batch) values ('only here')").execute(&one.pool).await.unwrap();
    let n: i64 = sqlx::query_scalar("select count(*) from batches").fetch_one(&other.pool).await.unwrap();
    assert_eq!(n, 0);
}

/// Another process of this binary, which owns a server until its standard input closes.
struct Owner {
    process: Child,
    url: String,
    data_dir: PathBuf,
    /// Held open: a test binary that cannot print fails.
    _stdout: BufReader<ChildStdout>,
    /// A copy of this binary in a place where every user can run it.
    _binary: tempfile::TempDir,
}

impl Owner {
    fn spawn(test: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let binary = folder.path().join("it");
        // Not fs::copy: a child forked by another test meanwhile would hold the copy
        // open for writing, and running it would fail with ETXTBSY.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&binary).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new(binary);
        command.args(["--exact", "--nocapture", &format!("postgres::{test}")]).env(OWNER, "1");
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        prepare(&mut command);
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let lines = stdout.by_ref().lines().map(Result::unwrap);
        let printed: Vec<String> =
            lines.filter_map(|line| Some(line.split_once("owns ")?.1.to_owned())).take(2).collect();
        let [url, data_dir] = printed.try_into().expect("the owner says where its server is");
        Self { process, url, data_dir: data_dir.into(), _stdout: stdout, _binary: folder }
    }
}

/// The body of the other process.
async fn own_until_stdin_closes() {
    let postgres = Postgres::start(settings()).await.unwrap();
    println!("owns {}\nowns {}", postgres.url(), postgres.data_dir().display());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    postgres.stop().await.unwrap();
}

async fn wait_for_removal(folder: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while folder.exists() {
        assert!(Instant::now() < deadline, "{} is still there", folder.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn uid_of_nobody() -> u32 {
    let output = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
