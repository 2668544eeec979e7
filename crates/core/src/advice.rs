//! What an error means to a shell, and what fixes it. Each error type says so itself.

use std::borrow::Cow;

/// An error that knows its hint and its exit code.
pub trait Advice {
    /// Returns the command or setting that fixes it, if one is known.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// Returns what the exit code of the program says about it.
    fn exit(&self) -> Exit {
        Exit::Error
    }
}

/// What an exit code says about a failed command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It failed, or was not confirmed.
    Error = 1,
    /// Wrong arguments or settings: running it again without a change fails again. It is clap's own code.
    Usage = 2,
    /// It finished, but some items failed or were rejected.
    SomeFailed = 3,
    /// AWS denies it, or the ledger refuses the login.
    Denied = 4,
    /// A dependency cannot be reached.
    Unreachable = 5,
    /// A check found problems.
    Problems = 6,
}
