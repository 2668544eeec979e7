//! The cache, and the data folders of running servers in it.
//!
//! Invariant: the lock on a folder's log is held exactly as long as a process can still write into the folder, because
//! the owner, the wrapper and Postgres share one open file. So a folder whose lock is free belongs to a dead server,
//! and the next start removes it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::Error;
use super::account::OsUser;

/// The cache folder when running as root: other accounts cannot enter root's home.
const ROOT_CACHE: &str = "/var/cache/muster";

/// Maximum number of bytes of the log quoted in an error.
const TAIL_BYTES: u64 = 2_000;

/// Finds the cache folder, creating it if missing.
pub(super) fn cache(account: OsUser) -> Result<PathBuf, Error> {
    let cache = if account.is_other() {
        PathBuf::from(ROOT_CACHE)
    } else {
        let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache"));
        xdg.or_else(home).ok_or(Error::NoCache)?.join("muster")
    };
    fs::create_dir_all(&cache).and_then(|()| account.admit(&cache)).map_err(at(&cache))?;
    Ok(cache)
}

/// Locks a folder, so that only one process at a time changes its contents; dropping the file releases the lock.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let folder = File::open(path).map_err(at(path))?;
    folder.lock().map_err(at(path))?;
    Ok(folder)
}

/// Adds the path to an error of the system.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Cache { path, source }
}

/// The folder of one server: its data, its socket and its log.
#[derive(Debug)]
pub(super) struct Folder {
    dir: TempDir,
    data: PathBuf,
    log: File,
}

impl Folder {
    /// Creates a folder that only the account can enter, after removing those of dead servers.
    pub(super) fn create(cache: &Path, account: OsUser) -> Result<Self, Error> {
        let run = cache.join("run");
        fs::create_dir_all(&run).and_then(|()| account.share(&run)).map_err(at(&run))?;
        // A folder without a lock may be one that is just being created, so starts take turns.
        let _turn = lock(&run)?;
        sweep(&run).map_err(at(&run))?;
        Self::locked_in(&run, account).map_err(at(&run))
    }

    fn locked_in(run: &Path, account: OsUser) -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().prefix("pg-").permissions(private).tempdir_in(run)?;
        let log = File::options().create_new(true).read(true).append(true).open(dir.path().join("log"))?;
        log.lock()?;
        account.own(dir.path())?;
        Ok(Self { data: dir.path().join("data"), dir, log })
    }

    /// Returns the folder.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the data folder inside it.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the log as an output for a child process.
    pub(super) fn log(&self) -> Result<Stdio, Error> {
        self.log.try_clone().map(Stdio::from).map_err(at(self.path()))
    }

    /// Returns the last lines of the log; works even after the folder was removed.
    pub(super) fn log_tail(&self) -> String {
        let length = self.log.metadata().map_or(0, |log| log.len());
        let mut tail = vec![0; usize::try_from(length.min(TAIL_BYTES)).expect("2,000 fit")];
        let n_read = self.log.read_at(&mut tail, length.saturating_sub(TAIL_BYTES)).unwrap_or(0);
        String::from_utf8_lossy(&tail[..n_read]).trim().to_owned()
    }

    /// Removes anything the wrapper may have left.
    pub(super) fn remove(&self) -> Result<(), Error> {
        remove(self.path()).map_err(at(self.path()))
    }
}

/// Removes the folders of dead servers.
fn sweep(run: &Path) -> io::Result<()> {
    for entry in fs::read_dir(run)? {
        let folder = entry?.path();
        let is_in_use = File::open(folder.join("log")).is_ok_and(|log| log.try_lock().is_err());
        if !is_in_use {
            tracing::debug!(folder = %folder.display(), "removing the folder of a dead postgres");
            if let Err(error) = remove(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "could not remove the folder of a dead postgres");
            }
        }
    }
    Ok(())
}

/// Removes a folder; succeeds if it does not exist.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
