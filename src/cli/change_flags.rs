//! The flags of commands that change many things at once.

use std::process::ExitCode;

use clap::Args;

use super::user;

/// Flags to try, confirm and print a change.
#[derive(Args, Debug)]
pub(super) struct ChangeFlags {
    /// Shows what would be done; changes nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Does not ask for confirmation.
    #[arg(long)]
    pub(super) yes: bool,
    /// Prints the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl ChangeFlags {
    /// Asks for confirmation, unless `--dry-run` or `--yes` was given; `question` has no question mark. Returns the exit
    /// code of the command if the answer is no.
    ///
    /// # Errors
    /// There is no terminal to ask on, or it cannot be read.
    pub(super) fn confirm(&self, question: &str) -> anyhow::Result<Option<ExitCode>> {
        let is_confirmed = self.dry_run || user::confirm(question, self.yes)?;
        Ok((!is_confirmed).then(user::nothing_done))
    }
}
