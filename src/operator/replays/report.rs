//! The progress and outcomes of a replay, for people and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::NoReplay;
use crate::ledger::Ledger;
use crate::ledger::replay::{OutcomeCount, Replay};
use muster_core::format::{grouped, printable, rfc3339};

/// A replay and its outcomes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayReport {
    /// Its number.
    pub replay: i64,
    /// Its state.
    pub state: ReplayState,
    /// Who requested it.
    pub requested_by: String,
    /// When; outcomes recorded later are not selected.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// The filter that selects the jobs.
    #[schema(value_type = Object)]
    pub filter: Box<RawValue>,
    /// Whether AWS is asked about each certificate.
    pub verify: bool,
    /// Number of jobs the plan counted when the replay was requested.
    pub expected: u64,
    /// Number of jobs selected so far.
    pub chosen: u64,
    /// Number of selected jobs that SQS accepted. Others got an outcome in another way, could not be sent, or still
    /// wait.
    pub sent: u64,
    /// When every selected job was sent, or the replay was cancelled. Null: it is in progress.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Who cancelled it. Null: nobody.
    pub cancelled_by: Option<String>,
    /// Outcomes of the selected jobs. A job that a later replay selected counts there. Null: not requested.
    pub outcomes: Option<Vec<ReplayOutcome>>,
    /// Selected jobs that wait to be sent or are in progress. Null: not requested.
    pub in_progress: Option<u64>,
}

/// The state of a replay.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum ReplayState {
    /// Workers are selecting and sending jobs.
    Sending,
    /// Every selected job has been sent.
    Sent,
    /// Somebody cancelled it.
    Cancelled,
}

/// Selected jobs with one outcome.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayOutcome {
    /// The status.
    pub status: String,
    /// The code.
    pub code: &'static str,
    /// Number of jobs.
    pub n: u64,
    /// Whether it is a success.
    #[serde(skip)]
    pub is_success: bool,
}

impl ReplayReport {
    /// Reads a replay and its outcomes.
    pub async fn read(ledger: &Ledger, number: i64) -> anyhow::Result<Self> {
        let replay = ledger.replay(number).await?.ok_or(NoReplay::Unknown(number))?;
        let outcomes = ledger.replay_outcomes(number).await?;
        Ok(Self::of(replay).with_outcomes(&outcomes))
    }

    /// Creates the report of a replay without its outcomes.
    pub fn of(replay: Replay) -> Self {
        let state = match (&replay.cancelled, replay.ended_at) {
            (Some(_), _) => ReplayState::Cancelled,
            (None, Some(_)) => ReplayState::Sent,
            (None, None) => ReplayState::Sending,
        };
        Self {
            replay: replay.number,
            state,
            requested_by: replay.asked_by,
            requested_at: replay.asked_at.truncate_to_second(),
            filter: RawValue::from_string(replay.filter).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            verify: replay.verify,
            expected: replay.n_expected,
            chosen: replay.n_chosen,
            sent: replay.n_sent,
            ended_at: replay.ended_at.map(OffsetDateTime::truncate_to_second),
            cancelled_by: replay.cancelled.map(|(_, who)| who),
            outcomes: None,
            in_progress: None,
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
            outcomes: Some(outcomes.collect()),
            in_progress: Some(groups.iter().map(|group| group.n_under_way).sum()),
            ..self
        }
    }

    /// Returns whether every selected job has an outcome.
    pub fn is_over(&self) -> bool {
        self.state != ReplayState::Sending && self.in_progress.is_none_or(|n| n == 0)
    }

    /// Returns the number of selected jobs with an outcome.
    pub fn n_outcomes(&self) -> u64 {
        self.outcomes.iter().flatten().map(|outcome| outcome.n).sum()
    }

    /// Returns the number of selected jobs that failed again.
    pub fn n_failed(&self) -> u64 {
        self.outcomes.iter().flatten().filter(|outcome| !outcome.is_success).map(|outcome| outcome.n).sum()
    }

    /// Returns the number of selected jobs.
    pub fn n_chosen(&self) -> u64 {
        self.chosen
    }

    /// Returns the replay in one line.
    pub fn line(&self) -> String {
        format!(
            "{:>6}  {:<9}  {}  {} of {} sent  {}  {}\n",
            self.replay,
            self.state.to_string(),
            rfc3339(self.requested_at),
            grouped(self.sent),
            grouped(self.chosen),
            printable(&self.requested_by),
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
        writeln!(f, "    requested by {} at {}", printable(&self.requested_by), rfc3339(self.requested_at))?;
        if let Some(who) = &self.cancelled_by {
            writeln!(f, "    cancelled by {}", printable(who))?;
        }
        writeln!(f, "    {}{}", shortened(self.filter.get()), if self.verify { ", verify" } else { "" })?;
        let (expected, chosen, sent) = (grouped(self.expected), grouped(self.chosen), grouped(self.sent));
        writeln!(f, "    {expected} expected, {chosen} selected, {sent} sent")?;
        if let Some(n) = self.in_progress.filter(|n| *n > 0) {
            writeln!(f, "    {} wait to be sent or are in progress", grouped(n))?;
        }
        for outcome in self.outcomes.iter().flatten() {
            writeln!(f, "{:>15}  {} {}", grouped(outcome.n), outcome.status, outcome.code)?;
        }
        Ok(())
    }
}
