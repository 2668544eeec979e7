//! One row of an export.

use serde::Serialize;

use crate::ledger::outcomes::OutcomeRow;
use crate::ledger::row::Names;
use muster_core::certificate::CertificateId;
use muster_core::format::rfc3339;
use muster_core::job::{CertificateStatus, Name, Operation};
use muster_core::outcome::Attempt;

/// The CSV columns.
pub(super) const TITLES: [&str; 21] = [
    "batch",
    "target",
    "operation",
    "certificate_id",
    "serial",
    "ref",
    "source",
    "status",
    "code",
    "detail",
    "wanted_status",
    "known_status",
    "account",
    "region",
    "attempts",
    "last_request_id",
    "sent_at",
    "received_at",
    "ended_at",
    "recorded_at",
    "other_names",
];

/// One exported outcome.
#[derive(Debug, Serialize)]
pub(super) struct ExportRecord<'a> {
    batch: &'a Name,
    target: &'a str,
    operation: Operation,
    /// Null: the job contains no readable certificate.
    certificate_id: Option<CertificateId>,
    /// Hexadecimal, as encoded in the certificate.
    serial: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    source: Option<&'a str>,
    status: &'static str,
    code: &'static str,
    detail: Option<&'a str>,
    wanted_status: CertificateStatus,
    /// Null: unknown.
    known_status: Option<CertificateStatus>,
    account: &'a str,
    region: &'a str,
    /// Total number of calls.
    n_attempts: u32,
    /// The last ten calls, oldest first.
    attempts: &'a [Attempt],
    /// AWS's request id of the last call.
    last_request_id: Option<&'a str>,
    sent_at: String,
    received_at: String,
    ended_at: String,
    recorded_at: String,
    /// Other refs and sources given by further messages.
    other_names: &'a [Names],
}

impl<'a> ExportRecord<'a> {
    /// Creates it from a ledger row.
    pub(super) fn of(batch: &'a Name, row: &'a OutcomeRow) -> Self {
        Self {
            batch,
            target: &row.target,
            operation: row.operation,
            certificate_id: row.certificate_id,
            serial: row.serial.as_ref().map(hex::encode),
            reference: row.names.reference.as_deref(),
            source: row.names.source.as_deref(),
            status: <&str>::from(row.status),
            code: row.code.as_str(),
            detail: row.detail.as_deref(),
            wanted_status: row.wanted_status,
            known_status: row.known_status,
            account: &row.account,
            region: &row.region,
            n_attempts: row.n_attempts,
            attempts: &row.attempts,
            last_request_id: row.attempts.last().and_then(|attempt| attempt.request_id.as_deref()),
            sent_at: rfc3339(row.sent_at),
            received_at: rfc3339(row.received_at),
            ended_at: rfc3339(row.ended_at),
            recorded_at: rfc3339(row.recorded_at),
            other_names: &row.other_names,
        }
    }

    /// Returns the CSV cells in the order of [`TITLES`].
    pub(super) fn cells(&self) -> [String; 21] {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let other_names = match self.other_names {
            [] => String::new(),
            names => serde_json::to_string(names).expect("plain fields always serialize"),
        };
        [
            self.batch.to_string(),
            self.target.to_owned(),
            self.operation.to_string(),
            self.certificate_id.map(|id| id.to_string()).unwrap_or_default(),
            text(self.serial.as_deref()),
            text(self.reference),
            text(self.source),
            self.status.to_owned(),
            self.code.to_owned(),
            text(self.detail),
            self.wanted_status.to_string(),
            self.known_status.map(|status| status.to_string()).unwrap_or_default(),
            self.account.to_owned(),
            self.region.to_owned(),
            self.n_attempts.to_string(),
            text(self.last_request_id),
            self.sent_at.clone(),
            self.received_at.clone(),
            self.ended_at.clone(),
            self.recorded_at.clone(),
            other_names,
        ]
    }
}
