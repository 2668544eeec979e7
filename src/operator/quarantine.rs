//! The quarantine: messages that are not jobs, and dead letters that were dropped.

mod list;
mod resend;
mod selection;

use crate::ledger::audit::AuditAction;
use crate::ledger::{Ledger, LedgerError};

pub use list::{QuarantineCursor, QuarantinePage, QuarantinedMessage};
pub use resend::{QuarantineResend, ReplayTally};
pub use selection::{QuarantineSelection, described};

/// Deletes messages from the quarantine permanently, for `who`. Returns how many.
pub async fn discard(ledger: &Ledger, selection: &QuarantineSelection, who: &str) -> Result<u64, LedgerError> {
    let detail = serde_json::json!({ "chosen": selection.audited() });
    let action = AuditAction { who, action: "quarantine drop", what: "quarantine", detail };
    ledger.drop_quarantined(selection.filter(), action).await
}
