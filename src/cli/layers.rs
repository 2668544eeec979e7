//! The setting flags that every command accepts, and the layers below them: environment, file, defaults.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::config::layers::{File, Flag};
use crate::config::{ConfigError, Settings, Sources};

/// Flags for settings.
#[derive(Args, Debug)]
pub(super) struct SettingFlags {
    /// Settings file; config/muster.toml lists every key.
    // An empty value means unset, as in every other variable; clap's own path parser would refuse it.
    #[arg(
        long,
        global = true,
        env = "MUSTER_CONFIG",
        value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    config: Option<PathBuf>,
    /// Log filter, for example `debug` or `muster=debug,warn`; sets `log.filter`.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

// The flag that sets any key. It is not a global flag of clap: if a repeatable global flag is given both before and
// after the command, clap drops the values before it. No doc comment: it would become the help of every command.
#[derive(Args)]
pub(super) struct Assignments {
    /// Sets one key, for example `--set queue.name=jobs`. Can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, found no `=`")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Assignments {
    /// Adds the flag to a command and all its subcommands.
    pub(super) fn add_to(command: Command) -> Command {
        Self::augment_args(command).mut_subcommands(Self::add_to)
    }

    /// Collects the values given to a command and its subcommands.
    pub(super) fn collect(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all = Self::from_arg_matches(matches)?;
        if let Some((_, matches)) = matches.subcommand() {
            all.set.extend(Self::collect(matches)?.set);
        }
        Ok(all)
    }
}

impl SettingFlags {
    /// Reads the file and applies environment variables and flags on top.
    pub(super) fn settings(&self, assignments: Assignments) -> Result<Settings, ConfigError> {
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        Sources {
            file: self.config.as_deref().filter(|path| !path.as_os_str().is_empty()).map(read).transpose()?,
            environment: std::env::vars_os().map(|(name, value)| (text(&name), text(&value))).collect(),
            flags: self.flags(assignments),
        }
        .merge()
    }

    /// Returns whether `--log` was given.
    pub(super) fn has_log_filter(&self) -> bool {
        self.log.is_some()
    }

    fn flags(&self, assignments: Assignments) -> Vec<Flag> {
        let set = assignments.set.into_iter().map(|(key, value)| Flag { flag: "--set", key, value });
        let log = self.log.iter().cloned().map(|value| Flag { flag: "--log", key: "log.filter".to_owned(), value });
        set.chain(log).collect()
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(File { path: path.to_owned(), text })
}
