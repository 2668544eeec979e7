//! Every call that arrived, in the order of arrival, and how it was answered.
//!
//! A call is written down when it arrives and completed when its answer is known, so a caller that left in between is
//! there too. Nothing is ever dropped: this is the record that tests and demos judge by.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::operation::ApiOperation;
use muster_core::certificate::CertificateId;

/// One call, as the ledger tells it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedCall {
    /// What was called.
    pub operation: ApiOperation,
    /// Time since the sandbox started, on a clock that never jumps, when the head of the request had been read; of STS, the form too.
    #[serde(serialize_with = "as_seconds")]
    pub arrived: Duration,
    /// The same instant on the wall clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `ok`, AWS's error code, `reset` or `hung`; `None` while there is no answer, and for ever if the caller left.
    pub answer: Option<Cow<'static, str>>,
    /// Whether the operation ran: an answer can be lost after it did, or be refused before.
    pub executed: bool,
    /// The certificate that the call was about, where it could be read.
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

/// The answer of a call that went well.
pub(super) const OK: &str = "ok";

/// Whether an answer is one of AWS's codes for "too fast".
pub(super) fn is_throttle(answer: Option<&str>) -> bool {
    matches!(answer, Some("ThrottlingException" | "TooManyRequestsException" | "RequestThrottled"))
}

/// What became of a call.
pub(super) struct Completion {
    pub(super) answer: Cow<'static, str>,
    pub(super) executed: bool,
    pub(super) certificate: Option<CertificateId>,
}

/// The number of a call: its place in the order of arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallNumber(usize);

impl CallNumber {
    /// The request id of the call's answer: distinct within one sandbox, and the number can be read from it.
    pub(super) fn request_id(self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.0)
    }
}

/// A call in about 80 bytes.
struct CallRecord {
    arrived: Duration,
    answer: Option<Cow<'static, str>>,
    certificate: Option<CertificateId>,
    operation: ApiOperation,
    executed: bool,
}

/// The calls of a sandbox's life.
pub(super) struct Calls {
    started: Instant,
    started_at: OffsetDateTime,
    records: Mutex<Vec<CallRecord>>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), started_at: OffsetDateTime::now_utc(), records: Mutex::default() }
    }

    /// Writes down that a call arrived now. The clock is read under the lock, so records are sorted by arrival.
    pub(super) fn open(&self, operation: ApiOperation) -> (CallNumber, Instant) {
        let mut records = self.records();
        let now = Instant::now();
        let arrived = now.duration_since(self.started);
        records.push(CallRecord { arrived, answer: None, certificate: None, operation, executed: false });
        (CallNumber(records.len() - 1), now)
    }

    /// Writes down how a call was answered.
    pub(super) fn close(&self, call: CallNumber, completion: Completion) {
        let record = &mut self.records()[call.0];
        record.answer = Some(completion.answer);
        record.executed = completion.executed;
        record.certificate = completion.certificate;
    }

    /// The calls from the `skip`-th on, oldest first, at most `limit`.
    pub(super) fn page(&self, skip: usize, limit: usize) -> Vec<LoggedCall> {
        let records = self.records();
        records.iter().enumerate().skip(skip).take(limit).map(|(number, record)| self.show(number, record)).collect()
    }

    /// How many calls arrived in all.
    pub(super) fn len(&self) -> usize {
        self.records().len()
    }

    /// Arrival and answer of every call of one operation, oldest first.
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
    fn a_call_whose_caller_left_stays_in_the_ledger_without_an_answer() {
        let calls = Calls::new();
        calls.open(ApiOperation::ReceiveMessage);
        let page = calls.page(0, 10);
        assert_eq!((page.len(), page[0].answer.clone(), page[0].executed), (1, None, false));
    }
}
