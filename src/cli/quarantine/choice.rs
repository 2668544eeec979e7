//! Selects quarantined messages.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use crate::cli::format::grouped;
use crate::ledger::quarantine::{DROPPED, QuarantineFilter};
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
    /// Returns the selection for the ledger.
    pub(super) fn chosen(&self) -> QuarantineFilter<'_> {
        QuarantineFilter { ids: (!self.ids.is_empty()).then_some(self.ids.as_slice()), reason: self.reason.as_deref() }
    }

    /// Returns the selection for the audit.
    pub(super) fn audited(&self) -> Value {
        match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None if self.all => json!("all"),
            None => json!({ "messages": self.ids }),
        }
    }
}

/// Returns the number of messages by reason, for a question.
pub(super) fn described(by_reason: &[(String, u64)]) -> String {
    let n = by_reason.iter().map(|(_, n)| n).sum();
    let each: Vec<_> = by_reason.iter().map(|(reason, n)| format!("{} {reason}", grouped(*n))).collect();
    format!("{} message{} ({})", grouped(n), if n == 1 { "" } else { "s" }, each.join(", "))
}
