//! `muster audit`: what operators changed.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::format::{grouped, printable, rfc3339};
use super::open_ledger::open_ledger;
use super::stdout;
use crate::config::Config;
use crate::ledger::audit::AuditEntry;

/// Lists what operators changed, the latest first: CAs registered, replays, pauses, releases, dead letters and
/// quarantined messages resent or dropped, reconciliations, batches pruned.
#[derive(Args, Debug)]
pub(super) struct Audit {
    /// Maximum number of entries to list.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Lists only entries with a lower number: the next page.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct AuditLine {
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    who: String,
    action: String,
    what: String,
    detail: Value,
}

impl Audit {
    /// Reads and prints one page.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let audited = ledger.audit_entries(self.before, self.limit).await;
        ledger.close().await;
        let lines: Vec<AuditLine> = audited?.into_iter().map(AuditLine::of).collect();
        if self.json {
            stdout::print_json(&lines)?;
        } else if lines.is_empty() {
            stdout::print("no changes have been recorded yet\n")?;
        } else {
            for line in lines {
                stdout::print(format_args!("{}\n", line.text()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl AuditLine {
    fn of(audited: AuditEntry) -> Self {
        let AuditEntry { id, at, who, action, what, detail } = audited;
        Self { id, at: at.truncate_to_second(), who, action, what, detail }
    }

    fn text(&self) -> String {
        let Self { id, at, who, action, what, detail } = self;
        let [who, action, what] = [who, action, what].map(|text| printable(text));
        let detail = printable(&in_words(detail));
        format!("{id:>6}  {}  {who}  {action}  {what}  {detail}", rfc3339(*at)).trim_end().to_owned()
    }
}

/// Formats a detail for people, such as `dropped 12,000, all yes`. Empty values are omitted.
fn in_words(detail: &Value) -> String {
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
