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
pub(super) struct Ca {
    #[command(subcommand)]
    action: Action,
}

// A text here would hide the longer one of the command's own type.
#[derive(Debug, Subcommand)]
enum Action {
    Register(Box<register::Register>),
    Code(code::Code),
    List(list::List),
}

impl Ca {
    /// Runs the subcommand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Register(register) => register.run(config).await,
            Action::Code(code) => code.run(config).await,
            Action::List(list) => list.run(config).await,
        }
    }
}

/// A time of a certificate, which may lie in a year that the format does not know.
fn date(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
