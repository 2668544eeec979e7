//! A `governor` bucket (GCRA) on tokio's clock: limits calls to the configured rate, whatever the leases say.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use muster_core::rate::{Rate, burst_of};

/// A bucket that is never empty while the leases respect the ceiling.
pub(super) struct Guard(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>);

/// Cells beyond the burst: one for a permit used at the very end of its time, one for rounding to nanoseconds.
const SLACK: u32 = 2;

impl Guard {
    /// Creates a guard for a ceiling.
    pub(super) fn new(ceiling: Rate) -> Self {
        let burst = NonZeroU32::MIN.saturating_add(burst_of(ceiling).saturating_add(SLACK - 1));
        let quota = Quota::with_period(ceiling.period()).expect("a rate's period is above zero").allow_burst(burst);
        Self(RateLimiter::direct_with_clock(quota, TokioClock))
    }

    /// Lets one call pass; waits if it exceeds the ceiling, which does not happen with correct leases.
    pub(super) async fn pass(&self) {
        while let Err(not_until) = self.0.check() {
            tokio::time::sleep(not_until.wait_time_from(TokioClock.now())).await;
        }
    }
}

/// Tokio's clock, so that tests with a paused clock drive the guard.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = TokioInstant;

    fn now(&self) -> TokioInstant {
        TokioInstant(Instant::now())
    }
}

/// An instant of tokio's clock, for `governor`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct TokioInstant(Instant);

impl std::ops::Add<Nanos> for TokioInstant {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for TokioInstant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        self.0.checked_sub(duration.into()).map_or(*self, Self)
    }
}
