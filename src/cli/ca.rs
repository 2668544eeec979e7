//! `muster ca`: registers or activates a CA by hand, prints the registration code, lists the CAs.

mod code;
mod list;
pub(super) mod order;
mod plan;
mod register;
mod report;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Config;

/// Registers or activates a CA, prints the registration code, or lists the CAs.
///
/// Certificates can be registered once their CA is, and is active.
#[derive(Args, Debug)]
pub(super) struct CaCommand {
    #[command(subcommand)]
    action: CaAction,
}

// A text here would hide the longer one of the command's own type.
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

/// A time of a certificate, which may lie in a year that the format does not know.
fn date(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
