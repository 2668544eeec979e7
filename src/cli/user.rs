//! The user who runs a command: their name for the audit, and their confirmation on the terminal.

use std::borrow::Cow;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use super::exit;
use super::talk::talk;
use muster_core::advice::{Advice, Exit};

/// There is no terminal to ask for confirmation.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask for confirmation: there is no terminal")]
pub(super) struct NoTerminal;

impl Advice for NoTerminal {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`--dry-run` shows what would be done, `--yes` does it".into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Returns user and host for the audit: `root@plant-3`, or `uid-10001@plant-3` for a user without a name.
pub(super) fn who() -> String {
    let is_name = |name: &String| !name.is_empty() && !name.contains(['@', '\n']);
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(is_name));
    let user = named.or_else(|| {
        let uid = std::fs::metadata("/proc/self").ok()?.uid();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Some(name_of(uid, &users).map_or_else(|| format!("uid-{uid}"), str::to_owned))
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|host| host.trim().to_owned()).or_else(|| std::env::var("HOSTNAME").ok());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host.as_deref().unwrap_or("unknown"))
}

/// Returns a user's name from the text of `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let its_uid: u32 = fields.nth(1)?.parse().ok()?;
        (its_uid == uid).then_some(name)
    })
}

/// Checks that there is a terminal to ask on.
///
/// # Errors
/// [`NoTerminal`] if there is no terminal.
pub(super) fn check_terminal() -> Result<(), NoTerminal> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() { Ok(()) } else { Err(NoTerminal) }
}

/// Asks for confirmation on the terminal unless `is_sure`; `question` has no question mark.
///
/// # Errors
/// [`NoTerminal`] if there is no terminal, or an error if it cannot be read.
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

/// Reports that the command was not confirmed and returns its exit code.
pub(super) fn nothing_done() -> ExitCode {
    talk("nothing was done");
    exit::ERROR.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_read_from_passwd() {
        let users = "root:x:0:0:root:/root:/bin/bash\n\nbroken\nmuster:x:1001:1001::/:/bin/false\n";
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(1001, users), Some("muster"));
        assert_eq!(name_of(1002, users), None);
    }
}
