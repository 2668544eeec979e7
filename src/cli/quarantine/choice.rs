//! Selects quarantined messages.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::ledger::quarantine::DROPPED;
use crate::operator::quarantine::QuarantineSelection;
use muster_core::job::ParseError;

/// Returns the reasons for a quarantine: the causes why a body is not a job, and `dropped` for dead letters.
pub(super) fn reasons() -> PossibleValuesParser {
    ParseError::CODES.into_iter().chain([DROPPED]).collect::<Vec<_>>().into()
}

/// The quarantined messages to process.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct QuarantineChoice {
    /// Message ids, as shown by `muster quarantine list`.
    #[arg(value_name = "MESSAGE_ID")]
    ids: Vec<String>,
    /// All messages.
    #[arg(long)]
    all: bool,
    /// All messages quarantined for this reason.
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
}

impl QuarantineChoice {
    /// Returns the selection.
    pub(super) fn selection(&self) -> QuarantineSelection {
        QuarantineSelection { all: self.all, ids: self.ids.clone(), reason: self.reason.clone(), until: None }
    }
}
