//! The call log: every call that arrived, in order of arrival, and its answer.
//!
//! A call is logged when it arrives and completed when its answer is known, so calls whose caller disconnected in
//! between are logged too. Nothing is ever dropped: tests and demos base their verdicts on this record.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::operation::ApiOperation;
use muster_core::certificate::CertificateId;

/// One call, as the call log reports it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedCall {
    /// What was called.
    pub operation: ApiOperation,
    /// When the call arrived, as the time since the sandbox started on a monotonic clock. Taken after the request head
    /// was read; for STS, after the form was read.
    #[serde(serialize_with = "as_seconds")]
    pub arrived: Duration,
    /// The same instant on the wall clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `ok`, AWS's error code, `replaced`, `reset` or `hung`; `None` while unanswered, and forever if the caller
    /// disconnected.
    pub answer: Option<Cow<'static, str>>,
    /// Whether the operation ran: it may have run even though its answer was lost, or been refused before it ran.
    pub executed: bool,
    /// The certificate that the call was about, if the request could be parsed.
    pub certificate_id: Option<CertificateId>,
    /// The request id of the answer.
    pub request_id: String,
}

impl LoggedCall {
    /// Whether the call was answered with a throttle.
    pub fn is_throttled(&self) -> bool {
        is_throttle(self.answer.as_deref())
    }
}

/// The answer of a successful call.
pub(super) const OK: &str = "ok";

/// Returns whether an answer is one of AWS's throttling codes.
pub(super) fn is_throttle(answer: Option<&str>) -> bool {
    matches!(answer, Some("ThrottlingException" | "TooManyRequestsException" | "RequestThrottled"))
}

/// The result of a call.
pub(super) struct Completion {
    pub(super) answer: Cow<'static, str>,
    pub(super) executed: bool,
    pub(super) certificate: Option<CertificateId>,
}

/// The sequence number of a call, in order of arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallNumber(usize);

impl CallNumber {
    /// Returns the request id of the call's answer: unique within one sandbox, and the number can be read from it.
    pub(super) fn request_id(self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.0)
    }
}

/// The stored form of a call, about 80 bytes.
struct CallRecord {
    arrived: Duration,
    answer: Option<Cow<'static, str>>,
    certificate: Option<CertificateId>,
    operation: ApiOperation,
    executed: bool,
}

/// All calls since the sandbox started.
pub(super) struct Calls {
    started: Instant,
    started_at: OffsetDateTime,
    records: Mutex<Vec<CallRecord>>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), started_at: OffsetDateTime::now_utc(), records: Mutex::default() }
    }

    /// Logs that a call arrived now. The clock is read under the lock, so records are sorted by arrival.
    pub(super) fn open(&self, operation: ApiOperation) -> (CallNumber, Instant) {
        let mut records = self.records();
        let now = Instant::now();
        let arrived = now.duration_since(self.started);
        records.push(CallRecord { arrived, answer: None, certificate: None, operation, executed: false });
        (CallNumber(records.len() - 1), now)
    }

    /// Logs how a call was answered.
    pub(super) fn close(&self, call: CallNumber, completion: Completion) {
        let record = &mut self.records()[call.0];
        record.answer = Some(completion.answer);
        record.executed = completion.executed;
        record.certificate = completion.certificate;
    }

    /// Returns at most `limit` calls, oldest first, skipping the first `skip`.
    pub(super) fn page(&self, skip: usize, limit: usize) -> Vec<LoggedCall> {
        let records = self.records();
        records.iter().enumerate().skip(skip).take(limit).map(|(number, record)| self.show(number, record)).collect()
    }

    /// Returns how many calls arrived in total.
    pub(super) fn len(&self) -> usize {
        self.records().len()
    }

    /// Returns the arrival and answer of every call of one operation, oldest first.
    pub(super) fn of(&self, operation: ApiOperation) -> Vec<(Duration, Option<Cow<'static, str>>)> {
        let records = self.records();
        let own = records.iter().filter(|record| record.operation == operation);
        own.map(|record| (record.arrived, record.answer.clone())).collect()
    }

    fn show(&self, number: usize, record: &CallRecord) -> LoggedCall {
        LoggedCall {
            operation: record.operation,
            arrived: record.arrived,
            at: self.started_at + record.arrived,
            answer: record.answer.clone(),
            executed: record.executed,
            certificate_id: record.certificate,
            request_id: CallNumber(number).request_id(),
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<CallRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_below_a_hundred_bytes() {
        assert!(size_of::<CallRecord>() <= 100, "{} bytes", size_of::<CallRecord>());
    }

    #[test]
    fn a_call_whose_caller_disconnected_stays_logged_without_answer() {
        let calls = Calls::new();
        calls.open(ApiOperation::ReceiveMessage);
        let page = calls.page(0, 10);
        assert_eq!((page.len(), page[0].answer.clone(), page[0].executed), (1, None, false));
    }
}
