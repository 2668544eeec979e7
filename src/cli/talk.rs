//! Messages for people, on standard error.

use std::io::Write;

/// Prints a line for people. If standard error is closed or full, the line is lost and the command continues.
pub(super) fn talk(line: &str) {
    // One write, so that lines of several threads do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
