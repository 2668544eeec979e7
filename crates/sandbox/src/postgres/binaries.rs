//! The programs `initdb` and `postgres`: where to look for them, and whether they run.
//!
//! Invariant: the programs of a [`Binaries`] have been run once, by the account that will run them. So a file that this
//! account cannot reach (in root's home) or an old release is skipped here instead of failing later.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use super::account::OsUser;

/// The oldest accepted release: the oldest that Linux distributions still maintain (Ubuntu 22.04).
const OLDEST_MAJOR: u32 = 14;

/// Folders of package managers that hold one folder per release: the parent folder, the prefix of the release number,
/// and the path from there to the programs.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("usr/lib/postgresql", "", "bin"),
    ("usr", "pgsql-", "bin"),
    ("opt/homebrew/opt", "postgresql@", "bin"),
    ("usr/local/opt", "postgresql@", "bin"),
    ("home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A folder whose `initdb` and `postgres` run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Binaries {
    dir: PathBuf,
}

/// What is wrong with a folder that should hold PostgreSQL's programs.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// `initdb` or `postgres` is missing, or the account that Postgres runs under cannot execute it.
    #[error("cannot run {program}: {source}")]
    NotRunnable {
        /// The program.
        program: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A program did not print a version.
    #[error("{program} --version printed {found:?}, expected {program} (PostgreSQL) {OLDEST_MAJOR} or newer")]
    NoVersion {
        /// The program.
        program: &'static str,
        /// The first line of its output.
        found: String,
    },
    /// The release is too old.
    #[error("{program} is release {found}, but must be {OLDEST_MAJOR} or newer")]
    TooOld {
        /// The program.
        program: &'static str,
        /// The major release number.
        found: u32,
    },
}

impl Binaries {
    /// Accepts a folder if its `initdb` and `postgres` run under the account.
    pub(super) fn check(dir: &Path, account: OsUser) -> Result<Self, Unusable> {
        let not_runnable = |program| move |source| Unusable::NotRunnable { program, source };
        let dir = dir.canonicalize().map_err(not_runnable("initdb"))?;
        for program in ["initdb", "postgres"] {
            let mut command = account.command(dir.join(program));
            // The account may not be able to enter the current folder.
            let output = command.arg("--version").current_dir("/").stdin(Stdio::null()).output();
            check_version(program, &output.map_err(not_runnable(program))?)?;
        }
        Ok(Self { dir })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// Parses the release from the output of `--version`, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn check_version(program: &'static str, output: &Output) -> Result<(), Unusable> {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let release = text.strip_prefix(program).and_then(|rest| rest.strip_prefix(" (PostgreSQL) "));
    let major = release.and_then(|release| {
        let digits = release.find(|c: char| !c.is_ascii_digit()).unwrap_or(release.len());
        release[..digits].parse().ok()
    });
    match major {
        Some(found) if found < OLDEST_MAJOR => Err(Unusable::TooOld { program, found }),
        Some(_) => Ok(()),
        None => Err(Unusable::NoVersion { program, found: text.lines().next().unwrap_or_default().to_owned() }),
    }
}

/// Where PostgreSQL may be installed on this machine.
pub(super) struct Places {
    /// The folders in PATH.
    pub(super) path: OsString,
    /// The root of the file system.
    pub(super) root: PathBuf,
    /// The folder printed by `pg_config`.
    pub(super) pg_config: Option<PathBuf>,
    /// The folder in our cache.
    pub(super) cached: PathBuf,
}

impl Places {
    /// Returns the places on this machine.
    pub(super) fn of_this_machine(cached: PathBuf) -> Self {
        Self { path: env::var_os("PATH").unwrap_or_default(), root: PathBuf::from("/"), pg_config: pg_config(), cached }
    }

    /// Returns the first place whose programs run: PATH, the newest release of each package manager, `pg_config`, the
    /// cache.
    pub(super) fn first_usable(&self, account: OsUser) -> Option<Binaries> {
        env::split_paths(&self.path)
            .chain(VERSIONED.iter().flat_map(|place| self.releases(place)))
            .chain(self.pg_config.clone())
            .chain([self.cached.clone()])
            .filter(|dir| dir.join("initdb").exists())
            .find_map(|dir| {
                Binaries::check(&dir, account)
                    .inspect_err(|why| tracing::debug!(dir = %dir.display(), %why, "skipped: unusable PostgreSQL"))
                    .ok()
            })
    }

    /// Returns the releases in one package manager's folder, newest first.
    fn releases(&self, &(parent, prefix, suffix): &(&str, &str, &str)) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(parent)).into_iter().flatten().flatten();
        let mut releases: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((number, entry.path().join(suffix)))
            })
            .collect();
        releases.sort_unstable_by(|a, b| b.cmp(a));
        releases.into_iter().map(|(_, dir)| dir).collect()
    }
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Creates a folder with an `initdb` and a `postgres` that claim to be that release.
    fn pretend_release(dir: &Path, release: &str) {
        fs::create_dir_all(dir).unwrap();
        for program in ["initdb", "postgres"] {
            let source = dir.join(program).with_extension("source");
            fs::write(&source, format!("#!/bin/sh\necho '{program} (PostgreSQL) {release}'\n")).unwrap();
            fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
            // Copied by another process: a child forked by another test meanwhile would hold a file of ours open for
            // writing, and a file open for writing cannot be executed.
            let copied = Command::new("cp").arg(&source).arg(dir.join(program)).status().unwrap();
            assert!(copied.success());
        }
    }

    fn places(root: &Path) -> Places {
        Places { path: OsString::new(), root: root.to_owned(), pg_config: None, cached: root.join("cached") }
    }

    fn found(places: &Places) -> Option<PathBuf> {
        places.first_usable(OsUser::Own).map(|binaries| binaries.dir)
    }

    #[test]
    fn places_are_searched_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |place: &str| root.path().canonicalize().unwrap().join(place);
        let mut places = places(root.path());
        assert_eq!(found(&places), None);
        pretend_release(&places.cached, "18.6");
        assert_eq!(found(&places), Some(at("cached")));
        pretend_release(&at("from_pg_config"), "16.1");
        places.pg_config = Some(at("from_pg_config"));
        assert_eq!(found(&places), Some(at("from_pg_config")));
        pretend_release(&at("usr/pgsql-17/bin"), "17.0");
        assert_eq!(found(&places), Some(at("usr/pgsql-17/bin")));
        pretend_release(&at("usr/lib/postgresql/15/bin"), "15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(found(&places), Some(at("usr/lib/postgresql/15/bin")));
        pretend_release(&at("on_path"), "18beta1");
        places.path = at("on_path").into();
        assert_eq!(found(&places), Some(at("on_path")));
    }

    #[test]
    fn the_newest_release_that_runs_is_used() {
        let root = tempfile::tempdir().unwrap();
        for release in ["9.6", "14", "17", "18"] {
            pretend_release(&root.path().join("usr/lib/postgresql").join(release).join("bin"), release);
        }
        fs::remove_file(root.path().join("usr/lib/postgresql/18/bin/postgres")).unwrap();
        let used = found(&places(root.path())).unwrap();
        assert!(used.ends_with("usr/lib/postgresql/17/bin"), "{}", used.display());
    }

    #[test]
    fn an_unusable_folder_says_why() {
        let root = tempfile::tempdir().unwrap();
        let why = |release: &str| {
            pretend_release(root.path(), release);
            Binaries::check(root.path(), OsUser::Own).unwrap_err().to_string()
        };
        assert_eq!(why("9.6.24"), "initdb is release 9, but must be 14 or newer");
        assert_eq!(
            why("new"),
            r#"initdb --version printed "initdb (PostgreSQL) new", expected initdb (PostgreSQL) 14 or newer"#
        );
        let missing = Binaries::check(&root.path().join("missing"), OsUser::Own).unwrap_err();
        assert!(matches!(missing, Unusable::NotRunnable { program: "initdb", .. }), "{missing}");
    }
}
