//! `muster quarantine list`: the quarantined messages, with keyset pagination.

use std::process::ExitCode;

use clap::Args;

use super::choice::reasons;
use crate::cli::format::printable;
use crate::cli::stdout;
use crate::cli::talk::talk;
use crate::ledger::Ledger;
use crate::operator::quarantine::{QuarantineCursor, QuarantinePage};

/// Lists the quarantined messages, without their bodies.
#[derive(Args, Debug)]
pub(super) struct ListQuarantined {
    /// Only messages quarantined for this reason.
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
    /// Maximum number of messages to list.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Continues after this position, as printed by the previous page.
    #[arg(long, value_name = "POSITION")]
    after: Option<QuarantineCursor>,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl ListQuarantined {
    /// Reads one page.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let page = QuarantinePage::read(ledger, self.reason.as_deref(), self.after.as_ref(), self.limit).await?;
        if self.json {
            stdout::print_json(&page)?;
            return Ok(ExitCode::SUCCESS);
        }
        if page.messages.is_empty() {
            stdout::print("the quarantine is empty\n")?;
        }
        for entry in &page.messages {
            stdout::print(entry)?;
        }
        if let Some(next) = &page.next {
            talk(&format!("hint: there may be more: --after {}", printable(next)));
        }
        Ok(ExitCode::SUCCESS)
    }
}
