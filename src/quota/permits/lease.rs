//! A lease: a run of places in time, of which each allows one call. Pure but for the clock.
//!
//! The ledger counts places by its own clock. Here they begin with the instant of the reply, which is later than what the
//! ledger meant: a place is never used early.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::ledger::rate_limit::Lease;
use muster_core::rate::{Rate, burst_time};

/// The time that a lease spans where the ledger answers at once.
pub(super) const LEASE: Duration = Duration::from_millis(50);

/// The time that a lease spans at most: what a worker that dies may lose.
const SPAN_MAX: Duration = Duration::from_secs(1);

/// How long before the last place is due the next lease is asked for, where the ledger answers at once.
const LEAD_MIN: Duration = Duration::from_millis(20);

/// A rise that is noted: a twentieth, or a row for every lease would push the cuts out of the last hundred.
const NOTED_RISE: f64 = 1.05;

/// The right to make one call around an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeasedPermit {
    /// From when on.
    pub(super) due: Instant,
    /// Until when: a later call would add to a burst that others make.
    pub(super) until: Instant,
    /// When it was granted, by the ledger's clock.
    pub(super) granted_at: OffsetDateTime,
}

impl Lease {
    /// Says whether the rate has risen so far that it is worth a note.
    pub(super) fn is_rise(&self) -> bool {
        self.rate.per_second() >= self.noted_rate * NOTED_RISE
    }

    /// The places, for an answer that came at this instant.
    pub(super) fn leased(self, answered: Instant) -> impl Iterator<Item = LeasedPermit> {
        let burst = burst_time(self.rate);
        (0..self.n).map(move |i| {
            #[expect(clippy::cast_precision_loss, reason = "a lease has far fewer than 2^52 places")]
            let due_in = self.first_in + i as f64 / self.rate.per_second();
            let due = after(answered, due_in);
            LeasedPermit { due, until: due + burst, granted_at: self.granted_at }
        })
    }
}

/// An instant some seconds after another one, or before it.
fn after(instant: Instant, seconds: f64) -> Instant {
    let distance = Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default();
    if seconds < 0.0 { instant.checked_sub(distance).unwrap_or(instant) } else { instant + distance }
}

/// How much is leased at a time and how early, from how long the ledger takes to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeasePace {
    answer: Duration,
}

impl LeasePace {
    /// Knows no answer yet.
    pub(super) fn new() -> Self {
        Self { answer: Duration::ZERO }
    }

    /// Notes how long an answer took; slow ones count at once, fast ones little by little.
    pub(super) fn answered(&mut self, took: Duration) {
        self.answer = took.max((self.answer * 7 + took) / 8);
    }

    /// Most places that are leased at a time.
    pub(super) fn places_max(&self, rate: Rate) -> usize {
        rate.calls_in(LEASE.max(2 * self.answer).min(SPAN_MAX)).max(1)
    }

    /// How long before the last place is due the next lease is asked for.
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
    async fn places_are_a_period_apart_and_end_after_the_burst() {
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
        assert_eq!([10.0, 100.0, 500.0].map(|per_second| pace.places_max(rate(per_second))), [1, 5, 25]);
        assert_eq!(pace.lead(), LEAD_MIN);
        pace.answered(Duration::from_millis(150));
        assert_eq!((pace.places_max(rate(10.0)), pace.lead()), (3, Duration::from_millis(300)));
        (0..30).for_each(|_| pace.answered(Duration::from_millis(1)));
        assert_eq!(pace.places_max(rate(100.0)), 5);
    }
}
