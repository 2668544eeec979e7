//! Selects dead letters.

use clap::Args;

use crate::operator::dead::DeadSelection;
use muster_core::job::Name;

/// The dead letters to process.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct DeadChoice {
    /// Message ids, as shown by `muster dead list`.
    #[arg(value_name = "MESSAGE_ID")]
    ids: Vec<String>,
    /// All messages.
    #[arg(long)]
    all: bool,
    /// All jobs of a batch.
    #[arg(long, value_name = "NAME")]
    batch: Option<Name>,
}

impl DeadChoice {
    /// Returns the selection.
    pub(super) fn selection(&self) -> DeadSelection {
        DeadSelection { all: self.all, ids: self.ids.clone(), batch: self.batch.clone() }
    }
}
