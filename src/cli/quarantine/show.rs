//! `muster quarantine show`: one quarantined message with its body.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use crate::cli::format::printable;
use crate::cli::stdout;
use crate::ledger::Ledger;
use crate::ledger::quarantine::QuarantineFilter;
use crate::operator::quarantine::QuarantinedMessage;

/// Maximum number of messages with one id. `MessageId`s are unique except across queues of different accounts.
const SHOWN_MAX: u32 = 10;

/// Shows one quarantined message: the reason, the time, and its original body with private keys redacted.
#[derive(Args, Debug)]
pub(super) struct ShowQuarantined {
    /// Message id, as shown by `muster quarantine list`.
    #[arg(value_name = "MESSAGE_ID")]
    id: String,
    /// Prints the message as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct ShownMessage {
    #[serde(flatten)]
    entry: QuarantinedMessage,
    body: String,
}

impl ShowQuarantined {
    /// Reads and prints the message.
    pub(super) async fn run(self, ledger: &Ledger) -> anyhow::Result<ExitCode> {
        let ids = [self.id];
        let chosen = QuarantineFilter { ids: Some(&ids), ..QuarantineFilter::default() };
        let entries = ledger.quarantine_entries(chosen, None, SHOWN_MAX).await?.into_iter().map(QuarantinedMessage::of);
        let bodies = ledger.quarantine_bodies(chosen, None, SHOWN_MAX).await?;
        let shown: Vec<ShownMessage> =
            entries.zip(bodies).map(|(entry, body)| ShownMessage { entry, body: body.text }).collect();
        ensure!(
            !shown.is_empty(),
            "message `{}` is not in the quarantine; `muster quarantine list` lists those that are",
            ids[0]
        );
        if self.json {
            stdout::print_json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        for ShownMessage { entry, body } in &shown {
            stdout::print(entry)?;
            stdout::print("\n")?;
            for line in body.lines() {
                stdout::print(format_args!("{}\n", printable(line)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
