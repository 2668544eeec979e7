//! Who is at the terminal, and whether they mean it.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use super::exit;
use super::talk::talk;

/// Nobody is there to be asked.
#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask for confirmation on")]
pub(super) struct NobodyToAsk;

impl NobodyToAsk {
    /// What to do.
    pub(super) const HINT: &str = "`--dry-run` shows what would be done, `--yes` does it";
}

/// User and host, for the audit; the user's number where no name is known.
pub(super) fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = named.or_else(|| Some(format!("uid {}", std::fs::metadata("/proc/self").ok()?.uid())));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|host| host.trim().to_owned()).or_else(|| std::env::var("HOSTNAME").ok());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host.as_deref().unwrap_or("unknown"))
}

/// Checks that somebody could be asked.
///
/// # Errors
/// [`NobodyToAsk`] where there is no terminal.
pub(super) fn check_terminal() -> Result<(), NobodyToAsk> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() { Ok(()) } else { Err(NobodyToAsk) }
}

/// Asks on the terminal whether to go on, unless that was said already; `question` ends without a mark.
///
/// # Errors
/// [`NobodyToAsk`] where there is no terminal, or it cannot be read.
#[expect(clippy::print_stderr, reason = "the question is for people, on standard error")]
pub(super) fn confirm(question: &str, is_sure: bool) -> anyhow::Result<bool> {
    if is_sure {
        return Ok(true);
    }
    check_terminal()?;
    eprint!("{question}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The end of a command that was not confirmed.
pub(super) fn nothing_done() -> ExitCode {
    talk("nothing was done");
    exit::ERROR.into()
}
