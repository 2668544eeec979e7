//! The flags for settings that every command understands, and the other layers below them.

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
    // Empty is none, as in every other variable: clap's own parser of paths refuses it.
    #[arg(
        long,
        global = true,
        env = "MUSTER_CONFIG",
        value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    config: Option<PathBuf>,
    /// What is logged, for example `debug` or `muster=debug,warn`.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

// The flag that sets any key. It is no global flag of clap's: of one that may repeat, clap would drop what stands before
// the command when more of it stands behind. No doc comment: it would become the help of every command.
#[derive(Args)]
pub(super) struct Assignments {
    /// Sets one key, for example `--set queue.name=jobs`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, found no `=`")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Assignments {
    /// Lets a command and all below it take the flag.
    pub(super) fn taken_by(command: Command) -> Command {
        Self::augment_args(command).mut_subcommands(Self::taken_by)
    }

    /// Gathers what a command and those below it were given.
    pub(super) fn given_to(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all = Self::from_arg_matches(matches)?;
        if let Some((_, matches)) = matches.subcommand() {
            all.set.extend(Self::given_to(matches)?.set);
        }
        Ok(all)
    }
}

impl SettingFlags {
    /// Reads the file and lays environment and flags over it.
    pub(super) fn settings(&self, assignments: Assignments) -> Result<Settings, ConfigError> {
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        Sources {
            file: self.config.as_deref().filter(|path| !path.as_os_str().is_empty()).map(read).transpose()?,
            environment: std::env::vars_os().map(|(name, value)| (text(&name), text(&value))).collect(),
            flags: self.flags(assignments),
        }
        .merge()
    }

    /// Says whether a flag says what is logged.
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
