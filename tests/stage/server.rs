//! A private Postgres for one test, which the test can stop, freeze, crash and restart on the same data.
//!
//! It lives in the folder of an embedded server, which provides the programs and removes the folder at the end. Commits
//! wait for the log but not for the disk: as in production, a crash of the server loses nothing; a crash of the machine
//! would.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_sandbox::postgres::{Postgres, PostgresSettings};

/// How long the server may take to start or stop; far more than it needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// In the socket's name, next to the embedded server's own.
const PORT: u16 = 5433;

pub(crate) struct Server {
    host: Postgres,
    postmaster: Option<Child>,
    /// Environment variables, used from its next start on.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let bin_dir = std::env::var_os("PG_BIN").map(PathBuf::from);
        let host = Postgres::start(PostgresSettings { bin_dir, durable: false }).await.unwrap();
        let mut server = Self { host, postmaster: None, environment: Vec::new() };
        let mut initdb = server.command("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync", "-D"]);
        assert!(initdb.arg(server.data()).status().unwrap().success());
        server.come_up().await;
        server
    }

    /// Returns the URL of the database `postgres`; the server does not check the password.
    pub(crate) fn url(&self, password: &str) -> String {
        let (_, host) = self.host.url().split_once('@').unwrap();
        let (host, _) = host.rsplit_once(':').unwrap();
        format!("postgres://postgres:{password}@{host}:{PORT}/postgres")
    }

    /// Stops it as an operator would: open transactions are rolled back, clients are notified.
    pub(crate) async fn go_down(&mut self) {
        let mut postmaster = self.postmaster.take().unwrap();
        kill("INT", postmaster.id());
        let since = Instant::now();
        while postmaster.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < PATIENCE, "postgres does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it on its existing data.
    pub(crate) async fn come_up(&mut self) {
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.folder());
        postgres.args(["-p", &PORT.to_string(), "-c", "listen_addresses=", "-c", "fsync=off"]);
        postgres.envs(self.environment.iter().cloned());
        self.postmaster = Some(postgres.process_group(0).spawn().unwrap());
        let since = Instant::now();
        while !self.is_ready() {
            assert!(since.elapsed() < PATIENCE, "postgres does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Freezes all of its processes, including those of established connections.
    pub(crate) fn freeze(&self) {
        kill("STOP", self.pid());
        signal_all("STOP", &children(self.pid()));
    }

    pub(crate) fn thaw(&self) {
        signal_all("CONT", &children(self.pid()));
        kill("CONT", self.pid());
    }

    fn pid(&self) -> u32 {
        self.postmaster.as_ref().unwrap().id()
    }

    /// Returns a command for a program of the embedded server, running under its account.
    fn command(&self, program: &str) -> Command {
        let started_with = std::fs::read_to_string(self.host.data_dir().join("postmaster.opts")).unwrap();
        let (postgres, _) = started_with.split_once(" \"").unwrap();
        let owner = std::fs::metadata(self.host.data_dir()).unwrap();
        let mut command = Command::new(Path::new(postgres).with_file_name(program));
        let log = std::fs::File::options().create(true).append(true).open(self.folder().join("own.log")).unwrap();
        command.uid(owner.uid()).gid(owner.gid()).current_dir(self.folder());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn is_ready(&self) -> bool {
        // The eighth line is the status, as in `muster_sandbox::postgres`.
        let status = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        status.lines().nth(7).is_some_and(|line| line.trim_end() == "ready")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.host.data_dir().parent().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder().join("own")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        signal_all("CONT", &children(postmaster.id()));
        kill("CONT", postmaster.id());
        kill("INT", postmaster.id());
        let _ = postmaster.wait();
    }
}

/// Sends a signal; does nothing if the process is gone.
pub(crate) fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn signal_all(signal: &str, pids: &[u32]) {
    for pid in pids {
        kill(signal, *pid);
    }
}

/// Returns the children of the postmaster, including the processes that serve connections.
fn children(postmaster: u32) -> Vec<u32> {
    let names = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(postmaster)).collect()
}

/// Returns the parent of a process: the second field after the name, which is in brackets.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
