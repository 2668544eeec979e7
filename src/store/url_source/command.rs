//! Runs a command in a process group of its own, which is killed with it.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::UrlError;

/// Runs a command in the shell and returns what it prints on standard output, at most `max` bytes. When the future is dropped,
/// the command and everything that it started are killed.
pub(super) async fn output(command: &str, max: u64) -> Result<Vec<u8>, UrlError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group(shell.spawn().map_err(UrlError::Command)?);
    let mut bytes = Vec::new();
    let stdout = group.0.stdout.take().expect("it was asked for");
    stdout.take(max).read_to_end(&mut bytes).await.map_err(UrlError::Command)?;
    let status = group.0.wait().await.map_err(UrlError::Command)?;
    if status.success() { Ok(bytes) } else { Err(UrlError::Failed(status)) }
}

/// A process that leads a group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Until the leader was waited for, no other group can have its number.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
