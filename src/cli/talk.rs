//! Talk for people, on standard error.

use std::io::Write;

/// Prints a line for people. Where standard error is closed or full, the line is lost and the command goes on.
pub(super) fn talk(line: &str) {
    // One write, so that lines of several threads do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
