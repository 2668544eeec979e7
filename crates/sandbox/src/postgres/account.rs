//! The account that Postgres runs under.
//!
//! Invariant: never root, because `initdb` and `postgres` refuse to run as root. Accounts are asked for with `id`, which
//! every Unix has and which knows directories beyond /etc/passwd.

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
    /// This process is root: another account, by its user and group number.
    Other { uid: u32, gid: u32 },
}

impl OsUser {
    /// Picks this process's own account, or one to drop to when that is root.
    pub(super) fn for_postgres() -> Result<Self, Error> {
        let own = id(&["-u"]).map_err(|source| Error::Run { program: "id".to_owned(), source })?;
        if own != Some(0) {
            return Ok(Self::Own);
        }
        let of_name = |name| Some(Self::Other { uid: id(&["-u", name]).ok()??, gid: id(&["-g", name]).ok()?? });
        NAMES.into_iter().find_map(of_name).ok_or(Error::NoAccount)
    }

    /// Says whether this process is root and Postgres runs under another account.
    pub(super) fn is_dropped_to(self) -> bool {
        self != Self::Own
    }

    /// A command that will run under the account, with none of root's groups and nothing of root's environment but
    /// PATH: it may hold AWS secrets, and other processes of the account could read them there.
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

    /// Lets the account enter a folder of root's, whatever the umask says.
    pub(super) fn admit(self, path: &Path) -> io::Result<()> {
        if self == Self::Own { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(0o755)) }
    }

    /// Lets the account remove its own folders from a folder of root's. The folder is sticky, as /tmp is, so that no
    /// other process of the account can put a link where root is about to change an owner.
    pub(super) fn share(self, path: &Path) -> io::Result<()> {
        let Self::Other { gid, .. } = self else { return Ok(()) };
        chown(path, None, Some(gid))?;
        fs::set_permissions(path, Permissions::from_mode(0o1775))
    }
}

/// The number that `id` prints, or nothing for a name that it does not know.
fn id(arguments: &[&str]) -> io::Result<Option<u32>> {
    let output = Command::new("id").args(arguments).stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
