//! Leases permits of one quota from the ledger and reports rate feedback to it.
//!
//! Leasing is retried until the ledger answers; while it fails, the Postgres breaker is open. Feedback is not retried:
//! it is logged and dropped if the ledger fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::health::breaker::Dependency;
use crate::ledger::rate_limit::Lease;
use crate::ledger::rate_limit::{Change, Quota};
use crate::ledger::{Ledger, LedgerError};
use crate::quota::permits::{Feedback, Gauges, PermitPool, SLOW};
use crate::runtime::backoff::Backoff;
use crate::telemetry::metrics::Metrics;
use muster_core::format::{rounded, span};
use muster_core::rate::Rate;

/// Upper bounds of the first and of any later wait before a lease is retried (exponential backoff with full jitter).
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long throttles of permits granted before a cut are ignored without asking the ledger. Bounded because the
/// ledger's clock may be set back.
const CUT_TRUSTED_FOR: Duration = Duration::from_secs(5);

/// The smallest step back of the ledger's clock that is worth a warning.
const SET_BACK_MIN: Duration = Duration::from_secs(1);

/// When permits were last granted, by the ledger's clock and by ours.
#[derive(Debug)]
struct Granted {
    at: OffsetDateTime,
    received: Instant,
}

impl Granted {
    /// Returns how far the ledger's clock was set back by the time of a later lease, if that is worth a warning.
    fn set_back(&self, later: OffsetDateTime) -> Option<Duration> {
        let set_back = Duration::try_from(self.at + self.received.elapsed() - later).ok()?;
        (set_back >= SET_BACK_MIN).then_some(set_back)
    }
}

/// The last cut of the rate that the ledger reported.
struct Cut {
    /// By the ledger's clock.
    at: OffsetDateTime,
    received: Instant,
}

impl Cut {
    /// Returns whether a throttle of a permit granted at this instant is already covered by the cut.
    fn covers(&self, granted_at: OffsetDateTime) -> bool {
        granted_at <= self.at && self.received.elapsed() < CUT_TRUSTED_FOR
    }
}

/// The lease client of one quota.
#[derive(Clone, Debug)]
pub struct LeaseClient {
    /// The ledger.
    pub ledger: Ledger,
    /// The quota to lease from.
    pub quota: Quota,
    /// The Postgres breaker, which is open while the ledger fails.
    pub postgres: Dependency,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

impl LeaseClient {
    /// Creates the permit pool of the quota, and a future that the caller must poll; it completes when the last clone
    /// of the pool is dropped.
    pub fn permits(self, learnt: Rate, ceiling: Rate, gauges: Gauges) -> (PermitPool, impl Future<Output = ()> + Send) {
        let (client, last) = (self.clone(), Arc::new(Mutex::new(None)));
        let lease = move |n| client.clone().lease(n, Arc::clone(&last));
        let (permits, feedback, dispense) = PermitPool::new(lease, learnt, ceiling, gauges);
        let work = async move {
            tokio::join!(dispense, self.report(feedback));
        };
        (permits, work)
    }

    /// Leases up to `n` permits; retries until the ledger answers.
    async fn lease(self, n: usize, last: Arc<Mutex<Option<Granted>>>) -> Lease {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failing = None;
        loop {
            let asked = self.ledger.lease(&self.quota, n);
            match tokio::time::timeout(SLOW, asked).await.unwrap_or(Err(LedgerError::Timeout(SLOW))) {
                Ok(lease) => {
                    self.note_clock(&lease, &last);
                    return lease;
                }
                Err(error) => {
                    self.metrics.db_error(&error);
                    warn!(%error, quota = %self.quota, "cannot lease permits, retrying");
                    failing.get_or_insert_with(|| self.postgres.failing(&error.to_string()));
                }
            }
            backoff.wait().await;
        }
    }

    /// Warns if the ledger's clock was set back since the last lease.
    fn note_clock(&self, lease: &Lease, last: &Mutex<Option<Granted>>) {
        let granted = Granted { at: lease.granted_at, received: Instant::now() };
        let last = last.lock().expect("nothing panics while it is held").replace(granted);
        if let Some(by) = last.and_then(|last| last.set_back(lease.granted_at)) {
            warn!(quota = %self.quota, by = span(by), "the clock of Postgres was set back; calls keep their rate");
        }
    }

    /// Reports rate feedback to the ledger. Skips throttles of permits that were granted before the last cut, because
    /// that cut already accounts for them; most throttles that arrive while a cut is being reported are of this kind.
    async fn report(self, mut feedback: mpsc::UnboundedReceiver<Feedback>) {
        let mut cut = Cut { at: OffsetDateTime::UNIX_EPOCH, received: Instant::now() };
        while let Some(feedback) = feedback.recv().await {
            let changed = match feedback {
                Feedback::Throttled { granted_at, .. } if cut.covers(granted_at) => continue,
                Feedback::Throttled { granted_at, went_through } => {
                    let changed = self.ledger.cut_rate(&self.quota, granted_at, went_through).await;
                    if let Ok(change) = &changed {
                        let at = change.as_ref().map_or(granted_at, |change| change.at);
                        cut = Cut { at, received: Instant::now() };
                    }
                    changed
                }
                Feedback::Recovered => self.ledger.restore_rate(&self.quota).await,
                Feedback::Risen { from } => self.ledger.note_rise(&self.quota, from).await,
            };
            match changed {
                Ok(change) => self.log_change(change),
                Err(error) => {
                    self.metrics.db_error(&error);
                    warn!(%error, quota = %self.quota, "cannot record rate feedback");
                }
            }
        }
    }

    fn log_change(&self, change: Option<Change>) {
        if let Some(Change { rate, reason, .. }) = change {
            info!(quota = %self.quota, rate = rounded(rate), reason = <&str>::from(reason), "the learnt rate changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_is_detected() {
        let granted = Granted { at: OffsetDateTime::UNIX_EPOCH, received: Instant::now() };
        let day = Duration::from_hours(24);
        tokio::time::advance(Duration::from_secs(10)).await;
        for (later, set_back) in [(9.5, None), (10.0, None), (86_400.0, None), (10.0 - 86_400.0, Some(day))] {
            let later = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds_f64(later);
            assert_eq!(granted.set_back(later), set_back, "{later}");
        }
    }
}
