//! Selects quarantined messages.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::ledger::quarantine::QuarantineFilter;
use muster_core::format::grouped;

/// Which quarantined messages to process. The default selects none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct QuarantineSelection {
    /// Every message.
    pub all: bool,
    /// Messages with these ids. Empty: not selected by id.
    pub ids: Vec<String>,
    /// Messages quarantined for this reason. `None`: not selected by reason.
    pub reason: Option<String>,
    /// Messages quarantined at this time or earlier. `None`: at any time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

impl QuarantineSelection {
    /// Returns the selection for the ledger.
    pub fn filter(&self) -> QuarantineFilter<'_> {
        let is_by_id = !self.all && self.reason.is_none();
        let ids = is_by_id.then_some(self.ids.as_slice());
        QuarantineFilter { ids, reason: self.reason.as_deref(), until: self.until }
    }

    /// Returns the selection for the audit.
    pub fn audited(&self) -> Value {
        match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None if self.all => json!("all"),
            None => json!({ "messages": self.ids }),
        }
    }
}

/// Formats the number of messages by reason.
pub fn described(by_reason: &[(String, u64)]) -> String {
    let n = by_reason.iter().map(|(_, n)| n).sum();
    let each: Vec<_> = by_reason.iter().map(|(reason, n)| format!("{} {reason}", grouped(*n))).collect();
    format!("{} message{} ({})", grouped(n), if n == 1 { "" } else { "s" }, each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_selected_unless_it_is_named() {
        let nothing = QuarantineSelection::default();
        assert_eq!(nothing.filter().ids, Some(&[][..]));
        let all = QuarantineSelection { all: true, ..QuarantineSelection::default() };
        assert_eq!((all.filter().ids, all.filter().reason), (None, None));
        let by_reason = QuarantineSelection { reason: Some("not_json".into()), ..QuarantineSelection::default() };
        assert_eq!((by_reason.filter().ids, by_reason.filter().reason), (None, Some("not_json")));
    }
}
