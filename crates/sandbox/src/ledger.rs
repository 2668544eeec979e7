//! The call log: what the sandbox saw (calls, certificates, queues), and how well the quota was used.
//!
//! Everything is computed here, on the service's side, so a client cannot report better numbers than it achieved.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use strum::VariantArray;

use super::SandboxState;
use super::calls::{LoggedCall, is_throttle};
use super::iot::{RegisteredAuthority, RegisteredCertificate};
use super::operation::ApiOperation;
use super::sqs::QueueCounts;
use muster_core::certificate::CertificateId;

/// A view of what the sandbox has seen so far; cheap to clone, always current.
#[derive(Clone)]
pub struct CallLog(Arc<SandboxState>);

/// A summary of the calls of one operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallSummary {
    /// How many calls arrived.
    pub calls: usize,
    /// How many calls got each answer; `unanswered` for those without one.
    pub answers: BTreeMap<Cow<'static, str>, usize>,
    /// How many calls were throttled.
    pub throttled: usize,
    /// The most calls that arrived within any one second, whatever their answer.
    pub worst_second: usize,
    /// See [`CallLog::quota_used`].
    pub quota_used: Option<f64>,
}

impl CallLog {
    pub(super) fn new(state: &Arc<SandboxState>) -> Self {
        Self(Arc::clone(state))
    }

    /// Returns every call to the three services, in order of arrival.
    pub fn calls(&self) -> Vec<LoggedCall> {
        self.calls_from(0, usize::MAX)
    }

    /// Returns at most `limit` calls in order of arrival, skipping the first `skip`.
    pub fn calls_from(&self, skip: usize, limit: usize) -> Vec<LoggedCall> {
        self.0.calls.page(skip, limit)
    }

    /// Returns how many calls arrived in total, of any operation.
    pub fn n_calls(&self) -> usize {
        self.0.calls.len()
    }

    /// Summarizes the calls of one operation.
    pub fn summary(&self, operation: ApiOperation) -> CallSummary {
        let calls = self.0.calls.of(operation);
        let arrivals: Vec<Duration> = calls.iter().map(|(arrived, _)| *arrived).collect();
        let mut answers = BTreeMap::new();
        for (_, answer) in &calls {
            *answers.entry(answer.clone().unwrap_or(Cow::Borrowed("unanswered"))).or_default() += 1;
        }
        CallSummary {
            calls: calls.len(),
            answers,
            throttled: calls.iter().filter(|(_, answer)| is_throttle(answer.as_deref())).count(),
            worst_second: worst_second(&arrivals),
            quota_used: self.quota_used(operation),
        }
    }

    /// Returns the summaries of all operations that were called.
    pub fn summaries(&self) -> BTreeMap<ApiOperation, CallSummary> {
        let all = ApiOperation::VARIANTS.iter().map(|&operation| (operation, self.summary(operation)));
        all.filter(|(_, summary)| summary.calls > 0).collect()
    }

    /// Returns the share of the quota that was used while there was work: 1 is all of it.
    ///
    /// Considers the arrival times of the calls of `operation` that were not throttled, whatever the
    /// answer. With N such calls and K = N - ceil(rate), the result is (K - 1) / (rate x (arrival of the K-th -
    /// arrival of the first)). The last second's worth of calls is excluded because a run ends with stragglers. The
    /// rate is the operation's current one. The result is not capped: a client that uses the bucket's initial burst
    /// gets more than 1.
    ///
    /// `None` if K is below 2 or all K calls arrived at the same instant.
    pub fn quota_used(&self, operation: ApiOperation) -> Option<f64> {
        let calls = self.0.calls.of(operation);
        let passed: Vec<Duration> = calls
            .into_iter()
            .filter(|(_, answer)| !is_throttle(answer.as_deref()))
            .map(|(arrived, _)| arrived)
            .collect();
        quota_used(&passed, self.0.buckets.rate(operation))
    }

    /// Returns how many calls of an operation were throttled.
    pub fn throttled(&self, operation: ApiOperation) -> usize {
        self.0.calls.of(operation).iter().filter(|(_, answer)| is_throttle(answer.as_deref())).count()
    }

    /// Returns the most calls of an operation that arrived within any one second, whatever their answer.
    pub fn worst_second(&self, operation: ApiOperation) -> usize {
        let arrivals: Vec<Duration> = self.0.calls.of(operation).into_iter().map(|(arrived, _)| arrived).collect();
        worst_second(&arrivals)
    }

    /// Returns the registered device certificates, oldest first.
    pub fn certificates(&self) -> Vec<RegisteredCertificate> {
        self.0.iot.certificates(0, usize::MAX)
    }

    /// Returns the device certificate with this id, if it is registered.
    pub fn certificate(&self, id: CertificateId) -> Option<RegisteredCertificate> {
        self.0.iot.certificate(id)
    }

    /// Returns how many device certificates are registered.
    pub fn n_certificates(&self) -> usize {
        self.0.iot.n_certificates()
    }

    /// Returns the CA with this id, if it is registered.
    pub fn authority(&self, id: CertificateId) -> Option<RegisteredAuthority> {
        self.0.iot.authority(id)
    }

    /// Returns how many CAs are registered.
    pub fn n_authorities(&self) -> usize {
        self.0.iot.n_authorities()
    }

    /// Returns the exact counts of a queue, by its name.
    pub fn queue(&self, name: &str) -> Option<QueueCounts> {
        self.0.sqs.counts(name)
    }

    /// Returns the ids of messages deleted from a queue by receipt handle, oldest delete first: at most `limit`,
    /// skipping the first `skip`. `None` if the queue does not exist.
    pub fn deleted_messages(&self, queue: &str, skip: usize, limit: usize) -> Option<Vec<String>> {
        self.0.sqs.deleted(queue, skip, limit)
    }

    /// Returns the exact counts of every queue, by name.
    pub fn queues(&self) -> BTreeMap<String, QueueCounts> {
        self.0.sqs.all_counts()
    }
}

/// Returns the most of the sorted `arrivals` that lie within one second.
fn worst_second(arrivals: &[Duration]) -> usize {
    let mut first = 0;
    let mut worst = 0;
    for (last, &arrived) in arrivals.iter().enumerate() {
        while arrived.saturating_sub(arrivals[first]) >= Duration::from_secs(1) {
            first += 1;
        }
        worst = worst.max(last + 1 - first);
    }
    worst
}

/// Computes [`CallLog::quota_used`] from the sorted arrivals of calls that were not throttled.
#[expect(clippy::cast_precision_loss, reason = "2^52 calls do not fit into memory")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and far below 2^64")]
fn quota_used(passed: &[Duration], rate: f64) -> Option<f64> {
    let k = passed.len().checked_sub(rate.ceil() as usize).filter(|&k| k >= 2)?;
    let seconds = passed[k - 1].saturating_sub(passed[0]).as_secs_f64();
    (seconds > 0.0).then(|| (k - 1) as f64 / (rate * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `n` arrivals that are `gap_ms` milliseconds apart.
    fn arrivals_every(gap_ms: u64, n: u64) -> Vec<Duration> {
        (0..n).map(|i| Duration::from_millis(500 + i * gap_ms)).collect()
    }

    #[test]
    fn calls_at_exactly_the_rate_use_all_of_the_quota() {
        let used = quota_used(&arrivals_every(100, 100), 10.0).unwrap();
        assert!((used - 1.0).abs() < 1e-9, "{used}");
    }

    #[test]
    fn half_the_rate_uses_half_the_quota_and_a_burst_more_than_all() {
        let half = quota_used(&arrivals_every(200, 100), 10.0).unwrap();
        assert!((half - 0.5).abs() < 1e-9, "{half}");
        let double = quota_used(&arrivals_every(50, 100), 10.0).unwrap();
        assert!((double - 2.0).abs() < 1e-9, "{double}");
    }

    #[test]
    fn stragglers_in_the_last_second_of_quota_do_not_count() {
        let mut calls = arrivals_every(100, 100);
        calls.extend([Duration::from_mins(1); 10]);
        let used = quota_used(&calls, 10.0).unwrap();
        assert!((used - 1.0).abs() < 1e-9, "{used}");
    }

    #[test]
    fn too_few_calls_give_no_quota_figure() {
        assert_eq!(quota_used(&arrivals_every(100, 11), 10.0), None);
        assert_eq!(quota_used(&[], 10.0), None);
        assert_eq!(quota_used(&[Duration::ZERO; 50], 10.0), None);
    }

    #[test]
    fn the_worst_second_is_a_sliding_window() {
        assert_eq!(worst_second(&[]), 0);
        assert_eq!(worst_second(&arrivals_every(100, 50)), 10);
        let mut calls = arrivals_every(100, 50);
        calls.extend([Duration::from_millis(5_450); 7]);
        assert_eq!(worst_second(&calls), 7 + 10);
    }
}
