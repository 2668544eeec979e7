//! `muster config`: what the settings are, and what they can be.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::stdout;
use crate::config::Settings;
use crate::config::template::template;

/// Shows the settings.
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
    /// Prints a settings file with every key, its default and a line of comment.
    Template,
}

impl ConfigCommand {
    /// Prints what was asked for.
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
