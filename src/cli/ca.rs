//! `muster ca`: registers or activates a CA, prints the registration code, lists the CAs.

mod code;
mod list;
pub(super) mod order;
mod plan;
mod register;
mod report;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;

/// Registers or activates a CA, prints the registration code, or lists the CAs.
///
/// AWS IoT Core accepts a certificate only if its CA is registered and active.
#[derive(Args, Debug)]
pub(super) struct CaCommand {
    #[command(subcommand)]
    action: CaAction,
}

// No doc comments here: they would hide the longer text of the command's own type.
#[derive(Debug, Subcommand)]
enum CaAction {
    Register(Box<register::Register>),
    Code(code::CodeCommand),
    List(list::ListCas),
}

impl CaCommand {
    /// Runs the subcommand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.action {
            CaAction::Register(register) => register.run(config).await,
            CaAction::Code(code) => code.run(config).await,
            CaAction::List(list) => list.run(config).await,
        }
    }
}
