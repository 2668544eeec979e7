//! Which messages of the quarantine are meant.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use crate::cli::format::grouped;
use crate::ledger::quarantine::Chosen;
use muster_core::job::ParseError;

/// Why messages are set aside: they are no jobs, or were dropped as dead letters.
pub(super) fn reasons() -> PossibleValuesParser {
    ParseError::CODES.into_iter().chain(["dropped"]).collect::<Vec<_>>().into()
}

/// Which messages are meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct QuarantineChoice {
    /// The messages, as the list names them.
    #[arg(value_name = "MESSAGE_ID")]
    ids: Vec<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Those that were set aside for this reason.
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
}

impl QuarantineChoice {
    /// The same for the ledger.
    pub(super) fn chosen(&self) -> Chosen<'_> {
        Chosen { ids: (!self.ids.is_empty()).then_some(self.ids.as_slice()), reason: self.reason.as_deref() }
    }

    /// For the audit: what it was done to, and how that was chosen.
    pub(super) fn audited(&self) -> Value {
        match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None if self.all => json!("all"),
            None => json!({ "messages": self.ids }),
        }
    }
}

/// How many messages there are, and why they were set aside, for a question.
pub(super) fn described(by_reason: &[(String, u64)]) -> String {
    let n = by_reason.iter().map(|(_, n)| n).sum();
    let each: Vec<_> = by_reason.iter().map(|(reason, n)| format!("{} {reason}", grouped(*n))).collect();
    format!("{} message{} ({})", grouped(n), if n == 1 { "" } else { "s" }, each.join(", "))
}
