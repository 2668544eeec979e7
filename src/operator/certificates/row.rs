//! One row of the ledger.

use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::certificate::CertificateRow;
use crate::ledger::row::Names;
use muster_core::format::{printable, rfc3339};
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::Attempt;

/// One row of the ledger, without its request and certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowLine {
    /// Name of the batch.
    pub batch: String,
    /// Name of the target.
    pub target: String,
    /// AWS account of the target.
    pub account: String,
    /// AWS region of the target.
    pub region: String,
    /// The AWS call.
    #[schema(value_type = String)]
    pub operation: Operation,
    /// The producer's name for the device.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Factory line that sent the job.
    pub source: Option<String>,
    /// Further names that later messages gave the device, the first ten.
    #[schema(value_type = Vec<Object>)]
    pub other_names: Vec<Names>,
    /// The outcome.
    pub status: String,
    /// Why it has this outcome, from a closed set.
    pub code: &'static str,
    /// Details beyond the code.
    pub detail: Option<String>,
    /// The certificate status that the job requested.
    #[schema(value_type = String)]
    pub wanted_status: CertificateStatus,
    /// The last known certificate status at AWS. Null: unknown.
    #[schema(value_type = Option<String>)]
    pub known_status: Option<CertificateStatus>,
    /// Whether the job asked AWS even if the ledger knew the certificate.
    pub verify: bool,
    /// When the message was sent to the queue.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    /// When a worker received it.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// When the job got its outcome.
    #[serde(with = "time::serde::rfc3339")]
    pub outcome_at: OffsetDateTime,
    /// When the outcome was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
    /// When it was resent, if it has no outcome since.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resent_at: Option<OffsetDateTime>,
    /// Key of the hold that it waits for.
    pub waits_for: Option<String>,
    /// The last replay that selected it.
    pub replay: Option<i64>,
    /// SQS id of the message.
    pub message_id: String,
    /// Number of AWS calls made for it.
    pub n_attempts: usize,
    /// The last ten calls, the oldest first.
    pub attempts: Vec<CertificateCall>,
    /// Number of further messages with the same certificate.
    pub n_duplicates: usize,
}

/// One AWS call for a certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct CertificateCall {
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Its result: `ok`, or the kind of error.
    pub result: String,
    /// AWS's request id. Null: there was no answer.
    pub request_id: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

impl CertificateCall {
    fn of(attempt: &Attempt) -> Self {
        let Attempt { at, result, request_id, ms } = attempt.clone();
        Self { at, result, request_id, ms }
    }
}

impl RowLine {
    /// Creates the line of a row.
    pub fn of(entry: &CertificateRow) -> Self {
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
            outcome_at: outcome.ended_at.truncate_to_second(),
            recorded_at: entry.recorded_at.truncate_to_second(),
            resent_at: outcome.resent_at.map(OffsetDateTime::truncate_to_second),
            waits_for: waits_for.map(ToString::to_string),
            replay: entry.replay,
            message_id: row.message_id.clone(),
            n_attempts: row.n_attempts,
            attempts: row.attempts.iter().map(CertificateCall::of).collect(),
            n_duplicates: row.n_duplicates,
        }
    }

    fn waits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hold) = &self.waits_for {
            writeln!(f, "    waits for {}", printable(hold))?;
        }
        if let Some(at) = self.resent_at {
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
            [self.sent_at, self.received_at, self.outcome_at, self.recorded_at].map(rfc3339);
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
