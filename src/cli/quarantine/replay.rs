//! `muster quarantine replay`: resends the messages that are valid jobs now.

use std::process::ExitCode;

use clap::Args;

use super::choice::QuarantineChoice;
use crate::cli::change_flags::ChangeFlags;
use crate::cli::progress::Progress;
use crate::cli::{exit, signals, stdout, user};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::long_task::TaskControl;
use crate::operator::quarantine::{QuarantineResend, ReplayTally, described};

/// Resends the quarantined messages that are valid jobs for this version and these settings.
///
/// They are sent to the second queue (`queue.replay`) or, if there is none, to `queue.name`, and removed from the
/// quarantine afterwards. A crash in between sends a message twice, which is harmless. Other messages stay and are
/// counted by reason. Exits with 3 if any message stayed.
#[derive(Args, Debug)]
pub(super) struct ReplayQuarantined {
    #[command(flatten)]
    choice: QuarantineChoice,
    #[command(flatten)]
    flags: ChangeFlags,
}

impl ReplayQuarantined {
    /// Counts, asks for confirmation and resends.
    pub(super) async fn run(self, config: &Config, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let selection = self.choice.selection();
        let by_reason = ledger.quarantined_by_reason(selection.filter()).await?;
        let n = by_reason.iter().map(|(_, n)| n).sum();
        let question = format!("Of {}, resend those that are jobs now", described(&by_reason));
        if n > 0
            && let Some(unconfirmed) = self.flags.confirm(&question)?
        {
            return Ok(unconfirmed);
        }
        let (stop, progress) = (signals::stop_token()?, Progress::new());
        let (control, counts) = TaskControl::new(stop.clone());
        let dry_run = self.flags.dry_run;
        let resend = QuarantineResend { ledger, selection: &selection, dry_run, who: &user::who() };
        let (tally, sent) = progress.follow(resend.run(config, &control), counts, Some(n), "messages").await;
        self.print(&tally)?;
        sent?;
        Ok(if stop.is_cancelled() {
            progress.say("interrupted: run the same command again to continue");
            exit::INTERRUPTED.into()
        } else if tally.stay.is_empty() || self.flags.dry_run {
            ExitCode::SUCCESS
        } else {
            exit::SOME_FAILED.into()
        })
    }

    fn print(&self, tally: &ReplayTally) -> anyhow::Result<()> {
        if self.flags.json {
            stdout::print_json(tally)?;
        } else {
            stdout::print(tally)?;
        }
        Ok(())
    }
}
