//! How far a replay is, for people and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::NoReplay;
use crate::cli::format::{grouped, printable, rfc3339};
use crate::ledger::Ledger;
use crate::ledger::replay::{Came, Replay};

/// A replay, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct ReplayReport {
    replay: i64,
    state: ReplayState,
    asked_by: String,
    #[serde(with = "time::serde::rfc3339")]
    asked_at: OffsetDateTime,
    filter: Box<RawValue>,
    verify: bool,
    /// How many jobs it was to choose when it was asked for; of those that were looked at then.
    expected: u64,
    chosen: u64,
    /// How many of those SQS took. Others ended meanwhile in another way, could not be sent, or wait.
    sent: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    cancelled_by: Option<String>,
    /// How the chosen jobs stand; those that a later replay chose are that one's. Null: not asked for.
    came_of_it: Option<Vec<ReplayOutcome>>,
    /// Of these: wait to be sent, or are on their way.
    under_way: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub(super) enum ReplayState {
    /// Workers choose and send.
    Sending,
    /// All that was chosen is sent.
    Sent,
    Cancelled,
}

#[derive(Debug, Serialize)]
struct ReplayOutcome {
    status: String,
    code: &'static str,
    n: u64,
    #[serde(skip)]
    is_success: bool,
}

impl ReplayReport {
    /// Reads a replay with what came of it.
    pub(super) async fn read(ledger: &Ledger, number: i64) -> anyhow::Result<Self> {
        let replay = ledger.replay(number).await?.ok_or(NoReplay::Unknown(number))?;
        let came = ledger.came_of_replay(number).await?;
        Ok(Self::of(replay).with(&came))
    }

    /// A replay alone.
    pub(super) fn of(replay: Replay) -> Self {
        let state = match (&replay.cancelled, replay.ended_at) {
            (Some(_), _) => ReplayState::Cancelled,
            (None, Some(_)) => ReplayState::Sent,
            (None, None) => ReplayState::Sending,
        };
        Self {
            replay: replay.number,
            state,
            asked_by: replay.asked_by,
            asked_at: replay.asked_at.truncate_to_second(),
            filter: RawValue::from_string(replay.filter).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            verify: replay.verify,
            expected: replay.n_expected,
            chosen: replay.n_chosen,
            sent: replay.n_sent,
            ended_at: replay.ended_at.map(OffsetDateTime::truncate_to_second),
            cancelled_by: replay.cancelled.map(|(_, who)| who),
            came_of_it: None,
            under_way: None,
        }
    }

    fn with(self, came: &[Came]) -> Self {
        let ended = came.iter().filter(|its| its.n_ended > 0).map(|its| ReplayOutcome {
            status: its.status.to_string(),
            code: its.code.as_str(),
            n: its.n_ended,
            is_success: its.status.is_success(),
        });
        Self {
            came_of_it: Some(ended.collect()),
            under_way: Some(came.iter().map(|its| its.n_under_way).sum()),
            ..self
        }
    }

    /// Says whether everything that was chosen has ended.
    pub(super) fn is_over(&self) -> bool {
        self.state != ReplayState::Sending && self.under_way.is_none_or(|n| n == 0)
    }

    /// How many of the chosen jobs ended, and how many of these well.
    pub(super) fn n_ended(&self) -> u64 {
        self.came_of_it.iter().flatten().map(|its| its.n).sum()
    }

    /// How many of the chosen jobs did not end well this time either.
    pub(super) fn n_failed(&self) -> u64 {
        self.came_of_it.iter().flatten().filter(|its| !its.is_success).map(|its| its.n).sum()
    }

    /// How many were chosen.
    pub(super) fn n_chosen(&self) -> u64 {
        self.chosen
    }

    /// The replay in one line.
    pub(super) fn line(&self) -> String {
        format!(
            "{:>6}  {:<9}  {}  {} of {} sent  {}  {}\n",
            self.replay,
            self.state.to_string(),
            rfc3339(self.asked_at),
            grouped(self.sent),
            grouped(self.chosen),
            printable(&self.asked_by),
            shortened(self.filter.get())
        )
    }
}

/// A filter may name a hundred thousand certificates.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    let shown: String = printable(text).chars().take(SHOWN).collect();
    if shown.len() < text.len() { shown + "..." } else { shown }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replay {}: {}", self.replay, self.state)?;
        writeln!(f, "    asked for by {} at {}", printable(&self.asked_by), rfc3339(self.asked_at))?;
        if let Some(who) = &self.cancelled_by {
            writeln!(f, "    cancelled by {}", printable(who))?;
        }
        writeln!(f, "    {}{}", shortened(self.filter.get()), if self.verify { ", verify" } else { "" })?;
        let (expected, chosen, sent) = (grouped(self.expected), grouped(self.chosen), grouped(self.sent));
        writeln!(f, "    {expected} expected, {chosen} chosen, {sent} sent")?;
        if let Some(n) = self.under_way.filter(|n| *n > 0) {
            writeln!(f, "    {} wait to be sent or are on their way", grouped(n))?;
        }
        for its in self.came_of_it.iter().flatten() {
            writeln!(f, "{:>15}  {} {}", grouped(its.n), its.status, its.code)?;
        }
        Ok(())
    }
}
