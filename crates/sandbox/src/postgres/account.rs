//! The account that Postgres runs under.
//!
//! Invariant: never root, because `initdb` and `postgres` refuse to run as root. Accounts are looked up with `id`,
//! which every Unix has and which also knows directories other than /etc/passwd.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Error;

/// The accounts that root drops to, best first.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// The account for `initdb` and `postgres`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OsUser {
    /// The account of this process, which is not root.
    Own,
    /// This process is root: another account, by user id and group id.
    Other { uid: u32, gid: u32 },
}

impl OsUser {
    /// Picks this process's own account, or one to drop to if that is root.
    pub(super) fn for_postgres() -> Result<Self, Error> {
        let own = id(&["-u"]).map_err(|source| Error::Run { program: "id".to_owned(), source })?;
        if own != Some(0) {
            return Ok(Self::Own);
        }
        let of_name = |name| Some(Self::Other { uid: id(&["-u", name]).ok()??, gid: id(&["-g", name]).ok()?? });
        NAMES.into_iter().find_map(of_name).ok_or(Error::NoAccount)
    }

    /// Returns whether this process is root and Postgres runs under another account.
    pub(super) fn is_other(self) -> bool {
        self != Self::Own
    }

    /// Creates a command that runs under the account, without root's groups and without root's environment except PATH:
    /// it may hold AWS secrets that other processes of the account could read.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        }
        command
    }

    /// Makes the account the owner of a file or folder.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        }
    }

    /// Lets the account enter a folder owned by root, whatever the umask.
    pub(super) fn admit(self, path: &Path) -> io::Result<()> {
        if self == Self::Own { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(0o755)) }
    }

    /// Lets the account remove its own folders from a folder owned by root. The folder is sticky, like /tmp, so that no
    /// other process of the account can put a link where root is about to change an owner.
    pub(super) fn share(self, path: &Path) -> io::Result<()> {
        let Self::Other { gid, .. } = self else { return Ok(()) };
        chown(path, None, Some(gid))?;
        fs::set_permissions(path, Permissions::from_mode(0o1775))
    }
}

/// Returns the number that `id` prints, or nothing if it does not know the name.
fn id(arguments: &[&str]) -> io::Result<Option<u32>> {
    let output = Command::new("id").args(arguments).stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
