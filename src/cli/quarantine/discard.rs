//! `muster quarantine drop`: deletes quarantined messages permanently.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::choice::{QuarantineChoice, described};
use crate::cli::{operator, stdout};
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;

/// Deletes messages from the quarantine permanently.
#[derive(Args, Debug)]
pub(super) struct DiscardQuarantined {
    #[command(flatten)]
    choice: QuarantineChoice,
    /// Only counts the messages; deletes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

impl DiscardQuarantined {
    /// Counts, asks for confirmation and deletes.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let by_reason = ledger.quarantined_by_reason(self.choice.chosen()).await?;
        if by_reason.is_empty() {
            stdout::print("no such message in the quarantine\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let described = described(&by_reason);
        if self.dry_run {
            stdout::print(format_args!("{described} would be dropped\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !operator::confirm(&format!("Permanently drop {described}"), self.yes)? {
            return Ok(operator::nothing_done());
        }
        let detail = json!({ "chosen": self.choice.audited() });
        let action = AuditAction { who: &operator::who(), action: "quarantine drop", what: "quarantine", detail };
        let n = ledger.drop_quarantined(self.choice.chosen(), action).await?;
        stdout::print(format_args!("{n} dropped\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
