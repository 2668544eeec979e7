//! `muster config`: the settings in effect, and a template of all settings.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::stdout;
use crate::config::Settings;
use crate::config::template::template;

/// Prints the settings, or a settings file with every key.
#[derive(Args, Debug)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: ConfigAction,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Prints each setting and where it comes from; a password in it is masked.
    Show {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints a settings file with every key, its default and a comment.
    Template,
}

impl ConfigCommand {
    /// Runs the subcommand.
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let text = match self.command {
            ConfigAction::Show { json: false } => settings.shown().to_string(),
            ConfigAction::Show { json: true } => serde_json::to_string_pretty(&settings.shown())? + "\n",
            ConfigAction::Template => template(),
        };
        stdout::print(text)?;
        Ok(ExitCode::SUCCESS)
    }
}
