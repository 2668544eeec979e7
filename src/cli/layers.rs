//! The flags for settings that every command understands, and the other layers below them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::layers::{File, Flag};
use crate::config::{ConfigError, Settings, Sources};

/// Flags for settings.
#[derive(Args, Debug)]
pub(super) struct Layers {
    /// Settings file; config/muster.toml lists every key.
    #[arg(long, global = true, env = "MUSTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, for example `--set queue.name=jobs`; may be given several times.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// What is logged, for example `debug` or `muster=debug,warn`.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, found no `=`")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Layers {
    /// Reads the file and lays environment and flags over it.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        Sources {
            file: self.config.as_deref().map(read).transpose()?,
            environment: std::env::vars_os().map(|(name, value)| (text(&name), text(&value))).collect(),
            flags: self.flags(),
        }
        .merge()
    }

    /// Says whether a flag says what is logged.
    pub(super) fn has_log_filter(&self) -> bool {
        self.log.is_some()
    }

    fn flags(&self) -> Vec<Flag> {
        let set = self.set.iter().cloned().map(|(key, value)| Flag { flag: "--set", key, value });
        let log = self.log.iter().cloned().map(|value| Flag { flag: "--log", key: "log.filter".to_owned(), value });
        set.chain(log).collect()
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(File { path: path.to_owned(), text })
}
