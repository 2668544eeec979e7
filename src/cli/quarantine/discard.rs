//! `muster quarantine drop`: removes messages for good.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::choice::{QuarantineChoice, described};
use crate::cli::{operator, stdout};
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;

/// Removes messages from the quarantine for good.
#[derive(Args, Debug)]
pub(super) struct DiscardQuarantined {
    #[command(flatten)]
    choice: QuarantineChoice,
    /// Only counts what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Asks nothing.
    #[arg(long)]
    yes: bool,
}

impl DiscardQuarantined {
    /// Counts, asks and removes.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let by_reason = ledger.set_aside_by_reason(self.choice.chosen()).await?;
        if by_reason.is_empty() {
            stdout::print("no such message is set aside\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let described = described(&by_reason);
        if self.dry_run {
            stdout::print(format_args!("{described} would be dropped\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !operator::confirm(&format!("Drop {described} for good"), self.yes)? {
            return Ok(operator::nothing_done());
        }
        let detail = json!({ "chosen": self.choice.audited() });
        let action = AuditAction { who: &operator::who(), action: "quarantine drop", what: "quarantine", detail };
        let n = ledger.drop_set_aside(self.choice.chosen(), action).await?;
        stdout::print(format_args!("{n} dropped\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
