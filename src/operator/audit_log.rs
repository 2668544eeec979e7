//! What operators changed: the audit log.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::audit::AuditEntry;
use crate::ledger::{Ledger, LedgerError};
use muster_core::format::{grouped, printable, rfc3339};

/// Lists up to `limit` changes with a number below `before`, the latest first.
pub async fn audit_lines(ledger: &Ledger, before: Option<i64>, limit: u32) -> Result<Vec<AuditLine>, LedgerError> {
    Ok(ledger.audit_entries(before, limit).await?.into_iter().map(AuditLine::of).collect())
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLine {
    /// Number of the entry; later entries have higher ones.
    pub id: i64,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who changed it: user and host, or the name of a token.
    pub who: String,
    /// The command or action, such as `replay` or `pause`.
    pub action: String,
    /// What was changed: a batch, a hold, a queue.
    pub what: String,
    /// The selection and the result; the fields depend on the action.
    pub detail: Value,
}

impl AuditLine {
    fn of(audited: AuditEntry) -> Self {
        let AuditEntry { id, at, who, action, what, detail } = audited;
        Self { id, at: at.truncate_to_second(), who, action, what, detail }
    }

    /// Returns the detail in words, such as `dropped 12,000, all yes`.
    pub fn detail_in_words(&self) -> String {
        printable(&in_words(&self.detail))
    }
}

impl fmt::Display for AuditLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, at, who, action, what, .. } = self;
        let [who, action, what] = [who, action, what].map(|text| printable(text));
        let line = format!("{id:>6}  {}  {who}  {action}  {what}  {}", rfc3339(*at), self.detail_in_words());
        f.write_str(line.trim_end())
    }
}

/// Formats a detail for people, such as `dropped 12,000, all yes`. Empty values are omitted.
pub fn in_words(detail: &Value) -> String {
    match detail {
        Value::Null => String::new(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Number(n) => n.as_u64().map_or_else(|| n.to_string(), grouped),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(in_words).filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            let words = fields.iter().map(|(name, value)| (name.replace('_', " "), value, in_words(value)));
            let words = words.filter(|(_, _, words)| !words.is_empty()).map(|(name, value, words)| match value {
                Value::Object(_) => format!("{name} ({words})"),
                _ => format!("{name} {words}"),
            });
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_formatted_in_words() {
        for (detail, words) in [
            (json!({ "all": true, "dropped": 12_000 }), "all yes, dropped 12,000"),
            (json!({ "chosen": { "batch": "a" }, "sent_to": null, "no_job": {} }), "chosen (batch a)"),
            (json!({ "batches": ["a", "b"], "chosen": "all", "rate": 2.5 }), "batches a b, chosen all, rate 2.5"),
            (json!({}), ""),
        ] {
            assert_eq!(in_words(&detail), words);
        }
    }
}
