//! The quota: one token bucket per IoT operation.
//!
//! A bucket starts full and never holds more than its burst. The caller passes in the time, so a call is judged by the
//! same instant that the call log records for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::operation::{ApiOperation, AwsService};

/// The allowed rate of each IoT operation, in calls per second.
///
/// The default is AWS's own: 10 per second for every control-plane operation used here.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    general: f64,
    own: HashMap<ApiOperation, f64>,
}

impl Rates {
    /// Uses the same rate for every IoT operation, in calls per second.
    pub fn all(rate: f64) -> Self {
        Self { general: rate, own: HashMap::new() }
    }

    /// Replaces the rate of `operation`, in calls per second.
    #[must_use]
    pub fn with(mut self, operation: ApiOperation, rate: f64) -> Self {
        self.own.insert(operation, rate);
        self
    }

    /// Returns the rate of an operation, in calls per second.
    pub fn of(&self, operation: ApiOperation) -> f64 {
        self.own.get(&operation).copied().unwrap_or(self.general)
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::all(10.0)
    }
}

/// Whether calls above the quota are refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Limiting {
    /// A call above the quota is answered with 400 `ThrottlingException`.
    #[default]
    Enforce,
    /// Every call passes; the call log still records how fast they arrived.
    CountOnly,
}

/// The buckets of all IoT operations.
pub(super) struct Buckets {
    limiting: Limiting,
    /// Tokens a bucket can hold; if `None`, one second's worth of quota.
    burst: Option<f64>,
    inner: Mutex<BucketState>,
}

struct BucketState {
    rates: Rates,
    buckets: HashMap<ApiOperation, Bucket>,
}

impl Buckets {
    pub(super) fn new(rates: Rates, limiting: Limiting, burst: Option<f64>) -> Self {
        Self { limiting, burst, inner: Mutex::new(BucketState { rates, buckets: HashMap::new() }) }
    }

    /// Takes a token for a call that arrived at `now`; returns false if the bucket is empty.
    pub(super) fn admits(&self, operation: ApiOperation, now: Instant) -> bool {
        if self.limiting == Limiting::CountOnly || operation.service() != AwsService::Iot {
            return true;
        }
        let inner = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = inner.rates.of(operation);
        let bucket = inner.buckets.entry(operation).or_insert_with(|| Bucket::full(self.capacity(rate), now));
        bucket.refill(rate, self.capacity(rate), now);
        bucket.take()
    }

    /// Returns the rate of an operation, in calls per second.
    pub(super) fn rate(&self, operation: ApiOperation) -> f64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).rates.of(operation)
    }

    /// Changes the rate of one operation from now on; tokens already in its bucket are kept, up to the new burst.
    pub(super) fn set_rate(&self, operation: ApiOperation, rate: f64, now: Instant) {
        let inner = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let old = inner.rates.of(operation);
        inner.rates.own.insert(operation, rate);
        if let Some(bucket) = inner.buckets.get_mut(&operation) {
            bucket.refill(old, self.capacity(rate), now);
        }
    }

    /// Returns the bucket size, at least one token: a smaller bucket would never admit a call.
    fn capacity(&self, rate: f64) -> f64 {
        self.burst.unwrap_or(rate).max(1.0)
    }
}

struct Bucket {
    tokens: f64,
    refilled: Instant,
}

impl Bucket {
    fn full(capacity: f64, now: Instant) -> Self {
        Self { tokens: capacity, refilled: now }
    }

    fn refill(&mut self, rate: f64, capacity: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(capacity);
        self.refilled = self.refilled.max(now);
    }

    fn take(&mut self) -> bool {
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OPERATION: ApiOperation = ApiOperation::RegisterCertificate;

    fn admitted(buckets: &Buckets, n: usize, at: Instant) -> usize {
        (0..n).filter(|_| buckets.admits(OPERATION, at)).count()
    }

    #[test]
    fn a_fresh_bucket_holds_one_second_of_quota_and_refills_at_the_rate() {
        let start = Instant::now();
        let buckets = Buckets::new(Rates::all(10.0), Limiting::Enforce, None);
        assert_eq!(admitted(&buckets, 100, start), 10);
        assert_eq!(admitted(&buckets, 100, start + Duration::from_millis(350)), 3);
        assert_eq!(admitted(&buckets, 100, start + Duration::from_mins(1)), 10);
    }

    #[test]
    fn a_configured_burst_replaces_the_second_of_quota() {
        let buckets = Buckets::new(Rates::all(100.0), Limiting::Enforce, Some(2.0));
        assert_eq!(admitted(&buckets, 100, Instant::now()), 2);
    }

    #[test]
    fn a_rate_change_applies_from_that_moment() {
        let start = Instant::now();
        let buckets = Buckets::new(Rates::all(10.0), Limiting::Enforce, None);
        assert_eq!(admitted(&buckets, 100, start), 10);
        buckets.set_rate(OPERATION, 100.0, start + Duration::from_millis(500));
        assert_eq!(admitted(&buckets, 100, start + Duration::from_millis(600)), 5 + 10);
    }

    #[test]
    fn count_only_admits_everything() {
        let buckets = Buckets::new(Rates::all(1.0), Limiting::CountOnly, None);
        assert_eq!(admitted(&buckets, 50, Instant::now()), 50);
    }

    #[test]
    fn operations_do_not_share_a_bucket() {
        let now = Instant::now();
        let buckets = Buckets::new(Rates::all(1.0).with(ApiOperation::ListCertificates, 5.0), Limiting::Enforce, None);
        assert_eq!(admitted(&buckets, 9, now), 1);
        assert!(buckets.admits(ApiOperation::ListCertificates, now));
    }
}
