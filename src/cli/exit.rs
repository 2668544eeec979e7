//! The exit codes. Those of failed commands come from [`Exit`]; the rest are here.

use muster_core::advice::Exit;

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
pub(super) const ERROR: u8 = Exit::Error as u8;

/// Some items failed or were rejected.
pub(super) const SOME_FAILED: u8 = Exit::SomeFailed as u8;

/// A dependency cannot be reached.
pub(super) const UNREACHABLE: u8 = Exit::Unreachable as u8;

/// A check found problems.
pub(super) const PROBLEMS: u8 = Exit::Problems as u8;

/// A signal interrupted the command before it was done.
pub(super) const INTERRUPTED: u8 = 130;
