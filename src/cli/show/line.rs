//! One row of the ledger.

use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use crate::cli::format::{printable, rfc3339};
use crate::ledger::certificate::CertificateRow;
use crate::ledger::row::Names;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::Attempt;

/// One row of the ledger, without its request and certificate.
#[derive(Debug, Serialize)]
pub(super) struct RowLine {
    pub(super) batch: String,
    pub(super) target: String,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) operation: Operation,
    #[serde(rename = "ref")]
    reference: Option<String>,
    source: Option<String>,
    other_names: Vec<Names>,
    status: String,
    code: &'static str,
    detail: Option<String>,
    wanted_status: CertificateStatus,
    /// Null: unknown.
    known_status: Option<CertificateStatus>,
    verify: bool,
    #[serde(with = "time::serde::rfc3339")]
    sent_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    ended_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
    /// When it was resent, if it has no outcome since.
    #[serde(with = "time::serde::rfc3339::option")]
    sent_again_at: Option<OffsetDateTime>,
    waits_for: Option<String>,
    /// The last replay that selected it.
    replay: Option<i64>,
    message_id: String,
    n_attempts: usize,
    /// The last ten calls.
    attempts: Vec<Attempt>,
    n_duplicates: usize,
}

impl RowLine {
    pub(super) fn of(entry: &CertificateRow) -> Self {
        let (row, outcome) = (&entry.row, &entry.row.outcome);
        // Without a request, `waits_for` means nothing: older versions left it on successful rows.
        let waits_for = outcome.waits_for.as_ref().filter(|_| outcome.request.is_some());
        Self {
            batch: row.batch.clone(),
            target: row.target.clone(),
            account: row.account.clone(),
            region: row.region.clone(),
            operation: row.operation,
            reference: row.names.reference.clone(),
            source: row.names.source.clone(),
            other_names: row.other_names.clone(),
            status: outcome.status().to_string(),
            code: outcome.code.as_str(),
            detail: outcome.detail.clone(),
            wanted_status: outcome.wanted_status,
            known_status: outcome.known_status,
            verify: outcome.verify,
            sent_at: outcome.sent_at.truncate_to_second(),
            received_at: outcome.received_at.truncate_to_second(),
            ended_at: outcome.ended_at.truncate_to_second(),
            recorded_at: entry.recorded_at.truncate_to_second(),
            sent_again_at: outcome.resent_at.map(OffsetDateTime::truncate_to_second),
            waits_for: waits_for.map(ToString::to_string),
            replay: entry.replay,
            message_id: row.message_id.clone(),
            n_attempts: row.n_attempts,
            attempts: row.attempts.clone(),
            n_duplicates: row.n_duplicates,
        }
    }

    fn waits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hold) = &self.waits_for {
            writeln!(f, "    waits for {}", printable(hold))?;
        }
        if let Some(at) = self.sent_again_at {
            writeln!(f, "    resent {}, no outcome yet", rfc3339(at))?;
        }
        self.replay.map_or(Ok(()), |number| writeln!(f, "    selected by replay {number}"))
    }

    fn calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.n_attempts > self.attempts.len() {
            writeln!(f, "    {} calls, the last {}:", self.n_attempts, self.attempts.len())?;
        }
        for attempt in &self.attempts {
            let request_id = attempt.request_id.as_deref().map_or("none".to_owned(), printable);
            let (at, result) = (rfc3339(attempt.at), printable(&attempt.result));
            writeln!(f, "    call {at} {result} in {} ms, request id {request_id}", attempt.ms)?;
        }
        Ok(())
    }
}

/// Formats the producer's names for the device.
fn names(reference: Option<&str>, source: Option<&str>) -> String {
    let word = |name: Option<&str>| name.map_or_else(|| "none".to_owned(), printable);
    format!("ref {}, source {}", word(reference), word(source))
}

impl fmt::Display for RowLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (batch, target) = (printable(&self.batch), printable(&self.target));
        let account = format!("{} in {}", printable(&self.account), printable(&self.region));
        writeln!(f, "batch {batch}, target {target} ({account}), {}", self.operation)?;
        let detail = self.detail.as_deref().map_or_else(String::new, |detail| format!(": {}", printable(detail)));
        writeln!(f, "    {} {}{detail}", self.status, self.code)?;
        writeln!(f, "    {}", names(self.reference.as_deref(), self.source.as_deref()))?;
        for other in &self.other_names {
            writeln!(f, "    also {}", names(other.reference.as_deref(), other.source.as_deref()))?;
        }
        let known = self.known_status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        writeln!(f, "    requested {}, last known at AWS: {known}", self.wanted_status)?;
        let [sent, received, ended, recorded] =
            [self.sent_at, self.received_at, self.ended_at, self.recorded_at].map(rfc3339);
        writeln!(f, "    sent {sent}, received {received}, outcome {ended}, recorded {recorded}")?;
        self.waits(f)?;
        self.calls(f)?;
        match self.n_duplicates {
            0 => Ok(()),
            1 => writeln!(f, "    1 duplicate message"),
            n => writeln!(f, "    {n} duplicate messages"),
        }
    }
}
