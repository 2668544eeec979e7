//! The time by which certificates are judged: AWS's if it is known, because AWS decides; otherwise this machine's.
//!
//! AWS includes the time in every response. It is read at start-up and every five minutes, and compared with the clocks
//! of this machine and of Postgres. A wrong clock causes a warning; it never causes a certificate to be rejected.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tracing::warn;

use crate::aws::identity;
use crate::config::access::Access;
use crate::ledger::Ledger;
use muster_core::format::span;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_mins(5);

/// Timeout for AWS's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Clocks that differ by this many seconds or more are reported. AWS rejects calls whose signature is five minutes off.
const SKEW_MIN_SECONDS: f64 = 30.0;

/// A clock corrected to AWS's time; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Returns the current time.
    pub fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        let ahead = time::Duration::milliseconds(self.0.load(Ordering::Relaxed));
        // A time outside the supported years, up to 9999, cannot be right.
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Sets how far AWS's clock is ahead of this machine's, in seconds; less than 30 counts as no difference.
    pub fn set_ahead(&self, seconds: f64) {
        let seconds = if seconds.abs() < SKEW_MIN_SECONDS { 0.0 } else { seconds };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float's whole milliseconds, cut off far beyond any date"
        )]
        self.0.store((seconds * 1000.0) as i64, Ordering::Relaxed);
        if seconds != 0.0 {
            let (off, behind_or_ahead) = describe_skew(-seconds);
            warn!(
                off,
                "this machine's clock is {behind_or_ahead} AWS's: certificates are judged by AWS's time; correct it"
            );
        }
    }

    /// Compares the clocks every five minutes, forever. Compares Postgres's first: AWS's was read at start-up.
    pub async fn watch(self, access: Access, ledger: Ledger) {
        loop {
            self.warn_of_postgres(&ledger).await;
            tokio::time::sleep(EVERY).await;
            if let Some(ahead) = identity::ask(&access, ANSWER_TIMEOUT).await.clock_ahead {
                self.set_ahead(ahead);
            }
        }
    }

    /// Warns if the clock of Postgres differs from this one.
    async fn warn_of_postgres(&self, ledger: &Ledger) {
        let Ok(clock) = ledger.clock().await else { return };
        let seconds = clock.ahead - (self.now() - OffsetDateTime::now_utc()).as_seconds_f64();
        if seconds.abs() >= SKEW_MIN_SECONDS {
            let (off, behind_or_ahead) = describe_skew(seconds);
            warn!(off, "the clock of Postgres is {behind_or_ahead} AWS's: correct it");
        }
    }
}

/// Returns by how much a clock is wrong, and in which direction.
pub(crate) fn describe_skew(seconds_ahead: f64) -> (String, &'static str) {
    let off = Duration::try_from_secs_f64(seconds_ahead.abs()).unwrap_or(Duration::MAX);
    (span(off), if seconds_ahead < 0.0 { "behind" } else { "ahead of" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_clock_differences_are_corrected() {
        let clock = Clock::default();
        let off = |clock: &Clock| (clock.now() - OffsetDateTime::now_utc()).whole_minutes();
        for (seconds, minutes) in [(0.0, 0), (5.0, 0), (-86_400.0, -1440), (86_400.0, 1440), (1e300, 0), (2.0, 0)] {
            clock.set_ahead(seconds);
            assert!((off(&clock) - minutes).abs() <= 1, "{seconds}");
        }
    }
}
