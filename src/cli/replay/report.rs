//! The progress and outcomes of a replay, for people and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::NoReplay;
use crate::cli::format::{grouped, printable, rfc3339};
use crate::ledger::Ledger;
use crate::ledger::replay::{OutcomeCount, Replay};

/// A replay and its outcomes.
#[derive(Debug, Serialize)]
pub(super) struct ReplayReport {
    replay: i64,
    state: ReplayState,
    asked_by: String,
    #[serde(with = "time::serde::rfc3339")]
    asked_at: OffsetDateTime,
    filter: Box<RawValue>,
    verify: bool,
    /// Number of jobs the plan counted when the replay was requested.
    expected: u64,
    chosen: u64,
    /// Number of selected jobs that SQS accepted. Others got an outcome in another way, could not be sent, or still
    /// wait.
    sent: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    cancelled_by: Option<String>,
    /// Outcomes of the selected jobs. A job that a later replay selected counts there. Null: not requested.
    came_of_it: Option<Vec<ReplayOutcome>>,
    /// Selected jobs that wait to be sent or are in progress.
    under_way: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub(super) enum ReplayState {
    /// Workers are selecting and sending jobs.
    Sending,
    /// Every selected job has been sent.
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
    /// Reads a replay and its outcomes.
    pub(super) async fn read(ledger: &Ledger, number: i64) -> anyhow::Result<Self> {
        let replay = ledger.replay(number).await?.ok_or(NoReplay::Unknown(number))?;
        let outcomes = ledger.replay_outcomes(number).await?;
        Ok(Self::of(replay).with_outcomes(&outcomes))
    }

    /// Creates the report of a replay without its outcomes.
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

    fn with_outcomes(self, groups: &[OutcomeCount]) -> Self {
        let outcomes = groups.iter().filter(|group| group.n_outcomes > 0).map(|group| ReplayOutcome {
            status: group.status.to_string(),
            code: group.code.as_str(),
            n: group.n_outcomes,
            is_success: group.status.is_success(),
        });
        Self {
            came_of_it: Some(outcomes.collect()),
            under_way: Some(groups.iter().map(|group| group.n_under_way).sum()),
            ..self
        }
    }

    /// Returns whether every selected job has an outcome.
    pub(super) fn is_over(&self) -> bool {
        self.state != ReplayState::Sending && self.under_way.is_none_or(|n| n == 0)
    }

    /// Returns the number of selected jobs with an outcome.
    pub(super) fn n_outcomes(&self) -> u64 {
        self.came_of_it.iter().flatten().map(|outcome| outcome.n).sum()
    }

    /// Returns the number of selected jobs that failed again.
    pub(super) fn n_failed(&self) -> u64 {
        self.came_of_it.iter().flatten().filter(|outcome| !outcome.is_success).map(|outcome| outcome.n).sum()
    }

    /// Returns the number of selected jobs.
    pub(super) fn n_chosen(&self) -> u64 {
        self.chosen
    }

    /// Returns the replay in one line.
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

/// Shortens a filter, which may name 100,000 certificates.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    let shown: String = printable(text).chars().take(SHOWN).collect();
    if shown.len() < text.len() { shown + "..." } else { shown }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replay {}: {}", self.replay, self.state)?;
        writeln!(f, "    requested by {} at {}", printable(&self.asked_by), rfc3339(self.asked_at))?;
        if let Some(who) = &self.cancelled_by {
            writeln!(f, "    cancelled by {}", printable(who))?;
        }
        writeln!(f, "    {}{}", shortened(self.filter.get()), if self.verify { ", verify" } else { "" })?;
        let (expected, chosen, sent) = (grouped(self.expected), grouped(self.chosen), grouped(self.sent));
        writeln!(f, "    {expected} expected, {chosen} selected, {sent} sent")?;
        if let Some(n) = self.under_way.filter(|n| *n > 0) {
            writeln!(f, "    {} wait to be sent or are in progress", grouped(n))?;
        }
        for outcome in self.came_of_it.iter().flatten() {
            writeln!(f, "{:>15}  {} {}", grouped(outcome.n), outcome.status, outcome.code)?;
        }
        Ok(())
    }
}
