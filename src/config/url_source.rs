//! Where to find the URL of the ledger: in the settings, in a file, or in the output of a command.
//!
//! A file or command is read again for each new connection, so the password can be rotated while a worker runs. The
//! text that was read never appears in a log line or an error.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::command::{self, CommandError, OUTPUT_MAX};
use muster_core::format::span;

/// Some editors write this at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where to find the URL of the ledger.
#[derive(Clone, Debug)]
pub enum UrlSource {
    /// In the settings.
    Given(SecretString),
    /// In a file.
    File(PathBuf),
    /// In the standard output of a command, run with `sh`.
    Command(String),
}

/// Why there is no URL. The message never repeats what was read.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The file cannot be read.
    #[error("cannot read {path}, named by `database.url_file`: {error}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The command cannot be started, or its output cannot be read.
    #[error("cannot run `database.url_command`: {0}")]
    Command(std::io::Error),
    /// The command failed.
    #[error("`database.url_command` failed with {0}; its output is not shown because it may contain the password")]
    Failed(ExitStatus),
    /// Reading took too long. A command was killed.
    #[error("`{setting}` returned no URL within {}", span(*within))]
    Timeout {
        /// The setting.
        setting: &'static str,
        /// The time limit.
        within: Duration,
    },
    /// The source is empty, not text, or more than one line.
    #[error("`{setting}` returned no URL: expected one line of text such as `postgres://user:password@host/database`")]
    NoUrl {
        /// The setting.
        setting: &'static str,
    },
}

impl UrlSource {
    /// Returns whether the URL may differ the next time it is read.
    pub fn may_change(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// Returns the setting that defines this source.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Given(_) => "database.url",
            Self::File(_) => "database.url_file",
            Self::Command(_) => "database.url_command",
        }
    }

    /// Reads the URL, or fails if that takes longer than `within`.
    pub async fn read(&self, within: Duration) -> Result<SecretString, UrlError> {
        let setting = self.setting();
        let read = match self {
            Self::Given(url) => return Ok(url.clone()),
            Self::File(path) => tokio::time::timeout(within, read_file(path.clone())).await,
            Self::Command(command) => tokio::time::timeout(within, run(command)).await,
        };
        let bytes = read.unwrap_or(Err(UrlError::Timeout { setting, within }))?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let url = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim();
        if url.is_empty() || url.lines().count() > 1 { Err(UrlError::NoUrl { setting }) } else { Ok(url.into()) }
    }
}

impl From<&str> for UrlSource {
    fn from(url: &str) -> Self {
        Self::Given(url.into())
    }
}

async fn run(command: &str) -> Result<Vec<u8>, UrlError> {
    command::output(command).await.map_err(|error| match error {
        CommandError::Io(error) => UrlError::Command(error),
        CommandError::Failed { status, .. } => UrlError::Failed(status),
    })
}

/// Reads a file on a blocking thread, so that a hanging file system does not block the runtime.
async fn read_file(path: PathBuf) -> Result<Vec<u8>, UrlError> {
    let opened = path.clone();
    let read = tokio::task::spawn_blocking(move || read_regular(&opened)).await;
    read.unwrap_or_else(|panic| Err(panic.into())).map_err(|error| UrlError::File { path, error })
}

/// Reads a regular file. Opened without blocking, because opening a pipe waits for a writer.
fn read_regular(path: &Path) -> std::io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other(
            "it is not a regular file, but it must be read again for each new connection",
        ));
    }
    let mut bytes = Vec::new();
    file.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use secrecy::ExposeSecret;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    async fn read(source: UrlSource) -> Result<String, String> {
        let url = source.read(WITHIN).await;
        url.map(|url| url.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    fn command(command: &str) -> UrlSource {
        UrlSource::Command(command.to_owned())
    }

    #[tokio::test]
    async fn a_url_comes_from_the_settings_a_file_or_a_command() {
        let file = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        };
        let (plain, marked) = (file("  postgres://a:b@c/d\n"), file("\u{feff}postgres://a:b@c/d\r\n"));
        for source in [
            "postgres://a:b@c/d".into(),
            UrlSource::File(plain.path().to_owned()),
            UrlSource::File(marked.path().to_owned()),
            command("echo postgres://a:b@c/d; echo talk >&2"),
        ] {
            assert_eq!(read(source).await.unwrap(), "postgres://a:b@c/d");
        }
    }

    #[tokio::test]
    async fn errors_say_what_failed_but_not_what_was_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (source, part) in [
            (UrlSource::File("/nowhere/url".into()), "cannot read /nowhere/url, named by `database.url_file`: No such"),
            (UrlSource::File(file.path().to_owned()), "`database.url_file` returned no URL"),
            (command("true"), "`database.url_command` returned no URL"),
            (command("echo secret; exit 3"), "`database.url_command` failed with exit status: 3; "),
            (command("echo secret; echo secret"), "`database.url_command` returned no URL"),
        ] {
            let error = read(source).await.unwrap_err();
            assert!(error.starts_with(part) && !error.contains("secret"), "{error}");
        }
    }

    /// Premise: opening a FIFO waits for a writer, and a thread that waits for one cannot be stopped before the process
    /// exits.
    #[tokio::test]
    async fn irregular_files_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, link) = (folder.path().join("fifo"), folder.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for path in [&fifo, &link, folder.path(), Path::new("/dev/null")] {
            let read = tokio::time::timeout(Duration::from_secs(5), read(UrlSource::File(path.to_owned()))).await;
            let error = read.expect("it blocks").unwrap_err();
            assert!(error.contains("named by `database.url_file`: it is not a regular file"), "{error}");
        }
    }

    /// Premise: the shell starts the command as a separate process, and killing the shell alone would leave it running.
    #[tokio::test]
    async fn a_hanging_command_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // A reader of the FIFO sees end of file once the last process that has it open is gone.
        let hanging = format!("exec 3>'{}'; sleep 600 & sleep 600; true", fifo.display());
        let (sender, read) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().spawn(move || sender.send(std::fs::read(fifo).unwrap())).unwrap();
        let asked_at = Instant::now();
        let within = Duration::from_secs(1);
        let error = command(&hanging).read(within).await.unwrap_err().to_string();
        assert_eq!(error, "`database.url_command` returned no URL within 1 s");
        assert!(read.recv_timeout(WITHIN).expect("something was left running").is_empty());
        assert!(asked_at.elapsed() < WITHIN);
    }
}
