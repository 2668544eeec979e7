//! `muster audit`: what people did.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::figures::{printable, rfc3339};
use super::{ledger, stdout};
use crate::config::Config;
use crate::store::audit::Audited;

/// Lists what people did: replays, pauses, releases, drops, repairs; the latest first.
#[derive(Args, Debug)]
pub(super) struct Audit {
    /// How many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Only those before this one: the next page.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// Prints them as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    who: String,
    action: String,
    what: String,
    detail: Value,
}

impl Audit {
    /// Lists.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let audited = store.audited(self.before, self.limit).await;
        store.close().await;
        let lines: Vec<Line> = audited?.into_iter().map(Line::of).collect();
        if self.json {
            stdout::print_json(&lines)?;
        } else if lines.is_empty() {
            stdout::print("nobody did anything\n")?;
        } else {
            for line in lines {
                stdout::print(format_args!("{}\n", line.text()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Line {
    fn of(audited: Audited) -> Self {
        let Audited { id, at, who, action, what, detail } = audited;
        Self { id, at: at.truncate_to_second(), who, action, what, detail }
    }

    fn text(&self) -> String {
        let Self { id, at, who, action, what, detail } = self;
        let [who, action, what] = [who, action, what].map(|text| printable(text));
        format!("{id:>6}  {}  {who}  {action}  {what}  {}", rfc3339(*at), printable(&detail.to_string()))
    }
}
