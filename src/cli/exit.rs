//! The exit codes.

/// All exit codes, for `--help`.
pub(super) const CODES: &str = "\
Exit codes:
  0    ok
  1    error
  2    wrong arguments or settings
  3    finished, but some items failed or were rejected
  4    credentials or permissions
  5    a dependency cannot be reached
  6    a check found problems
  130  interrupted";

/// Something went wrong, or was not confirmed.
pub(super) const ERROR: u8 = 1;

/// Wrong arguments or settings, as in clap: running the same command again is pointless.
pub(super) const USAGE: u8 = 2;

/// Some items failed or were rejected.
pub(super) const SOME_FAILED: u8 = 3;

/// AWS denied access, or Postgres refused the login.
pub(super) const DENIED: u8 = 4;

/// A dependency cannot be reached.
pub(super) const UNREACHABLE: u8 = 5;

/// A check found problems.
pub(super) const PROBLEMS: u8 = 6;

/// A signal interrupted the command before it was done.
pub(super) const INTERRUPTED: u8 = 130;
