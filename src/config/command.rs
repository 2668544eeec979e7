//! Runs a command in a process group of its own, which is killed with it.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Most bytes that are kept of what a command prints, on each of its two outputs.
pub(crate) const OUTPUT_MAX: u64 = 64 << 10;

/// Why a command gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It cannot be started, or its output cannot be read.
    #[error("cannot run it: {0}")]
    Io(#[from] std::io::Error),
    /// It failed.
    #[error("it failed with {status}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it printed on standard error.
        stderr: String,
    },
}

/// Runs a command in the shell and returns what it prints on standard output. When the future is dropped, the command and
/// everything that it started are killed.
pub(crate) async fn output(command: &str) -> Result<Vec<u8>, CommandError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = ProcessGroup(shell.spawn()?);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
    let status = group.0.wait().await?;
    let stderr = || String::from_utf8_lossy(&stderr).into_owned();
    if status.success() { Ok(stdout) } else { Err(CommandError::Failed { status, stderr: stderr() }) }
}

/// Reads an output to its end and keeps its beginning.
async fn read(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut output = output.expect("it was asked for");
    let mut kept = Vec::new();
    (&mut output).take(OUTPUT_MAX).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// A process that leads a group.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Until the leader was waited for, no other group can have its number.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
