//! `muster quarantine drop`: deletes quarantined messages permanently.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::choice::QuarantineChoice;
use crate::cli::change_flags::ChangeFlags;
use crate::cli::{stdout, user};
use crate::ledger::Ledger;
use crate::operator::quarantine::{described, discard};

/// Deletes messages from the quarantine permanently.
#[derive(Args, Debug)]
pub(super) struct DiscardQuarantined {
    #[command(flatten)]
    choice: QuarantineChoice,
    #[command(flatten)]
    flags: ChangeFlags,
}

/// What was dropped or, in a dry run, would be dropped.
#[derive(Debug, Serialize)]
struct DropTally {
    dry_run: bool,
    /// Number of messages dropped.
    dropped: u64,
    /// Messages selected, by the reason of their quarantine.
    reasons: BTreeMap<String, u64>,
}

impl DiscardQuarantined {
    /// Counts, asks for confirmation and deletes.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let selection = self.choice.selection();
        let by_reason = ledger.quarantined_by_reason(selection.filter()).await?;
        let described = described(&by_reason);
        let n = by_reason.iter().map(|(_, n)| n).sum();
        if n > 0
            && let Some(unconfirmed) = self.flags.confirm(&format!("Permanently drop {described}"))?
        {
            return Ok(unconfirmed);
        }
        let dropped = if n == 0 || self.flags.dry_run { n } else { discard(ledger, &selection, &user::who()).await? };
        let tally = DropTally { dry_run: self.flags.dry_run, dropped, reasons: by_reason.into_iter().collect() };
        if self.flags.json {
            stdout::print_json(&tally)?;
        } else if n == 0 {
            stdout::print("no such message in the quarantine\n")?;
        } else if self.flags.dry_run {
            stdout::print(format_args!("{described} would be dropped\n"))?;
        } else {
            stdout::print(format_args!("{dropped} dropped\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
