//! A lease: a run of permits, evenly spaced in time, each of which allows one call. Pure except for the clock.
//!
//! The ledger schedules permits by its own clock. Here they are counted from the instant of the reply, which is later
//! than the ledger's instant: a permit is never used early.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::ledger::rate_limit::Lease;
use muster_core::rate::{Rate, burst_time};

/// The time that a lease spans if the ledger answers at once.
pub(super) const LEASE: Duration = Duration::from_millis(50);

/// Maximum time that a lease spans. A worker that dies loses what it has leased: two of these at worst, because the
/// next lease is requested before the current one is used up.
const SPAN_MAX: Duration = Duration::from_secs(1);

/// How long before the last permit is due the next lease is requested, if the ledger answers at once.
const LEAD_MIN: Duration = Duration::from_millis(20);

/// The factor by which the rate must rise to be recorded. If every lease recorded a change, the cuts would be pushed
/// out of the last hundred changes that are kept.
const NOTED_RISE: f64 = 1.05;

/// The right to make one call between two instants.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeasedPermit {
    /// The earliest instant of the call.
    pub(super) due: Instant,
    /// The latest instant of the call: a later one would add to a burst of other workers.
    pub(super) until: Instant,
    /// When it was granted, by the ledger's clock.
    pub(super) granted_at: OffsetDateTime,
}

impl Lease {
    /// Returns whether the rate has risen far enough to be worth recording.
    pub(super) fn is_rise(&self) -> bool {
        self.rate.per_second() >= self.noted_rate * NOTED_RISE
    }

    /// Returns the permits of a lease whose reply arrived at this instant.
    pub(super) fn leased(self, answered: Instant) -> impl Iterator<Item = LeasedPermit> {
        let burst = burst_time(self.rate);
        (0..self.n).map(move |i| {
            #[expect(clippy::cast_precision_loss, reason = "a lease has far fewer than 2^52 permits")]
            let due_in = self.first_in + i as f64 / self.rate.per_second();
            let due = after(answered, due_in);
            LeasedPermit { due, until: due + burst, granted_at: self.granted_at }
        })
    }
}

/// Returns the instant `seconds` after `instant`, or before it if negative.
fn after(instant: Instant, seconds: f64) -> Instant {
    let distance = Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default();
    if seconds < 0.0 { instant.checked_sub(distance).unwrap_or(instant) } else { instant + distance }
}

/// Decides how much to lease at a time and how early, from how long the ledger takes to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeasePace {
    answer: Duration,
}

impl LeasePace {
    /// Creates a pace that has seen no answer yet.
    pub(super) fn new() -> Self {
        Self { answer: Duration::ZERO }
    }

    /// Notes how long an answer took: slower ones count at once, faster ones gradually (moving average over eight).
    pub(super) fn answered(&mut self, took: Duration) {
        self.answer = took.max((self.answer * 7 + took) / 8);
    }

    /// Returns the maximum number of permits to lease at a time.
    pub(super) fn permits_max(&self, rate: Rate) -> usize {
        rate.calls_in(LEASE.max(2 * self.answer).min(SPAN_MAX)).max(1)
    }

    /// Returns how long before the last permit is due to request the next lease.
    pub(super) fn lead(&self) -> Duration {
        LEAD_MIN.max(2 * self.answer).min(SPAN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_one_period_apart_and_expire_after_the_burst() {
        let granted_at = OffsetDateTime::UNIX_EPOCH;
        let lease = Lease { n: 3, first_in: -0.01, rate: rate(100.0), noted_rate: 100.0, granted_at };
        let answered = Instant::now() + Duration::from_secs(1);
        let leased: Vec<_> = lease.leased(answered).collect();
        let due = |ms: i64| {
            let distance = Duration::from_millis(ms.unsigned_abs());
            if ms < 0 { answered - distance } else { answered + distance }
        };
        assert_eq!(leased.iter().map(|permit| permit.due).collect::<Vec<_>>(), [due(-10), due(0), due(10)]);
        assert_eq!(leased[2].until, due(110));
    }

    #[test]
    fn a_lease_spans_fifty_milliseconds_or_two_slow_answers() {
        let mut pace = LeasePace::new();
        assert_eq!([10.0, 100.0, 500.0].map(|per_second| pace.permits_max(rate(per_second))), [1, 5, 25]);
        assert_eq!(pace.lead(), LEAD_MIN);
        pace.answered(Duration::from_millis(150));
        assert_eq!((pace.permits_max(rate(10.0)), pace.lead()), (3, Duration::from_millis(300)));
        (0..30).for_each(|_| pace.answered(Duration::from_millis(1)));
        assert_eq!(pace.permits_max(rate(100.0)), 5);
    }
}
