//! Runs a shell command in its own process group.
//!
//! If the caller gives up, the whole group is killed, so nothing that the command started is left running.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Maximum bytes kept of each of a command's two outputs. The rest is read and discarded.
pub(crate) const OUTPUT_MAX: u64 = 64 << 10;

/// Why a command returned no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command cannot be started, or its output cannot be read.
    #[error("cannot run it: {0}")]
    Io(#[from] std::io::Error),
    /// The command failed.
    #[error("it failed with {status}")]
    Failed {
        /// Its exit status.
        status: ExitStatus,
        /// What it printed on standard error.
        stderr: String,
    },
}

/// Runs a command with `sh` and returns what it prints on standard output.
///
/// Dropping the future kills the command and everything that it started.
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

/// Reads an output to its end and keeps the first [`OUTPUT_MAX`] bytes.
async fn read(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut output = output.expect("the output is piped");
    let mut kept = Vec::new();
    (&mut output).take(OUTPUT_MAX).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// A process that leads its own group.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The number of the group cannot be reused before the leader has been waited for. After that, `id` is `None`.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
