//! Hands out tokens: one token is one call to AWS.
//!
//! One dispenser task is the only waiter on governor's bucket and serves the queue of waiters in order, so nobody
//! starves and a refill wakes one task, not all of them. A token is taken from the bucket only for somebody who waits:
//! what may be saved up is the bucket's burst and nothing beside it. It starts empty, so a restart is no burst.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Calls a second; finite and above zero.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

/// A rate that is no rate.
#[derive(Debug, thiserror::Error)]
#[error("a rate lies between {min} and {max} calls a second, found {0}", min = Rate::MIN, max = Rate::MAX)]
pub struct RateError(f64);

impl Rate {
    /// One call in 1,000 seconds.
    pub const MIN: f64 = 0.001;
    /// One call in ten microseconds: more than any quota, and governor counts whole nanoseconds.
    pub const MAX: f64 = 100_000.0;

    /// Makes a rate.
    ///
    /// # Errors
    /// [`RateError`] for a rate outside [`Rate::MIN`] to [`Rate::MAX`].
    pub fn new(per_second: f64) -> Result<Self, RateError> {
        if (Self::MIN..=Self::MAX).contains(&per_second) { Ok(Self(per_second)) } else { Err(RateError(per_second)) }
    }

    /// Calls a second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// The time between two calls.
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(self.0.recip())
    }

    /// How many calls a time holds, rounded down.
    pub fn calls_in(self, time: Duration) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are above zero and bounded")]
        let calls = (self.0 * time.as_secs_f64()) as usize;
        calls
    }
}

impl TryFrom<f64> for Rate {
    type Error = RateError;

    fn try_from(per_second: f64) -> Result<Self, RateError> {
        Self::new(per_second)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.per_second()
    }
}

/// What is saved up while nobody calls, in time: late timers are made up for, and the quota's own bucket holds ten
/// times as much.
const BURST: Duration = Duration::from_millis(100);

/// The smallest burst: at low rates [`BURST`] is less than one token, and every late timer would be a lost token.
const BURST_MIN: usize = 2;

/// How many tokens a rate saves up while nobody calls.
pub fn burst_of(rate: Rate) -> u32 {
    u32::try_from(rate.calls_in(BURST).max(BURST_MIN)).unwrap_or(u32::MAX)
}

/// The tokens of one target and operation.
#[derive(Clone, Debug)]
pub struct Limiter {
    waiters: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Limiter {
    /// Starts the dispenser; it ends when the last clone is dropped.
    pub fn start(rate: Rate) -> Self {
        let (waiters, queue) = mpsc::unbounded_channel();
        tokio::spawn(dispense(Bucket::new(rate, burst_of(rate)), queue));
        Self { waiters }
    }

    /// Waits for a token, in the order of the calls.
    ///
    /// Dropping the wait gives its place to the next in line; no token is lost by it.
    pub async fn token(&self) {
        let (waiter, turn) = oneshot::channel();
        self.waiters.send(waiter).expect("the dispenser lives as long as a limiter");
        turn.await.expect("the dispenser serves everybody in the queue");
    }
}

/// Serves the queue, a token each; a waiter who left gives the token to the next.
async fn dispense(bucket: Bucket, mut queue: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
    let mut is_left_over = false;
    while let Some(waiter) = queue.recv().await {
        if waiter.is_closed() {
            continue;
        }
        if !is_left_over {
            bucket.take().await;
        }
        is_left_over = waiter.send(()).is_err();
    }
}

/// Governor's bucket on tokio's clock.
struct Bucket(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>);

impl Bucket {
    /// An empty bucket.
    fn new(rate: Rate, burst: u32) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(rate.period()).expect("a rate's period is above zero").allow_burst(burst);
        let bucket = RateLimiter::direct_with_clock(quota, TokioClock);
        let spent = bucket.check_n(burst);
        debug_assert!(matches!(spent, Ok(Ok(()))), "a new bucket holds its burst");
        Self(bucket)
    }

    /// Takes a token, waiting for it.
    async fn take(&self) {
        while let Err(not_until) = self.0.check() {
            let wait = not_until.wait_time_from(TokioClock.now());
            tokio::time::sleep(wait).await;
        }
    }
}

/// Tokio's clock, so that a paused test drives the limiter.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = TokioInstant;

    fn now(&self) -> TokioInstant {
        TokioInstant(Instant::now())
    }
}

/// An instant as governor reckons with it.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).unwrap()
    }

    /// Takes tokens for a time and tells when each came.
    async fn taken_in(limiter: &Limiter, time: Duration) -> Vec<Instant> {
        let end = Instant::now() + time;
        let mut taken = Vec::new();
        while tokio::time::timeout_at(end, limiter.token()).await.is_ok() {
            taken.push(Instant::now());
        }
        taken
    }

    #[test]
    fn only_rates_that_can_be_kept_are_rates() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Rate::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(rate(10.0).period(), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_rate_is_used() {
        for per_second in [10.0, 200.0, 2000.0] {
            let n = taken_in(&Limiter::start(rate(per_second)), Duration::from_secs(10)).await.len();
            let share = f64::from(u32::try_from(n).unwrap()) / (per_second * 10.0);
            assert!((0.99..=1.0).contains(&share), "{n} tokens at {per_second}/s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_empty() {
        let limiter = Limiter::start(rate(10.0));
        assert_eq!(taken_in(&limiter, Duration::from_millis(99)).await.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_up_no_more_than_the_burst() {
        let limiter = Limiter::start(rate(200.0));
        tokio::time::sleep(Duration::from_hours(1)).await;
        let at_once = taken_in(&limiter, Duration::from_millis(1)).await.len();
        assert!((20..=21).contains(&at_once), "{at_once} tokens at once, the burst is 20");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order() {
        let limiter = Limiter::start(rate(100.0));
        let (served, mut order) = mpsc::unbounded_channel();
        for i in 0..50 {
            let (limiter, served) = (limiter.clone(), served.clone());
            tokio::spawn(async move {
                limiter.token().await;
                served.send(i).unwrap();
            });
        }
        drop(served);
        let mut seen = Vec::new();
        while let Some(i) = order.recv().await {
            seen.push(i);
        }
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_who_leaves_takes_no_token_along() {
        let limiter = Limiter::start(rate(10.0));
        for _ in 0..5 {
            let left = tokio::time::timeout(Duration::from_millis(10), limiter.token()).await;
            assert!(left.is_err());
        }
        let began = Instant::now();
        limiter.token().await;
        assert!(began.elapsed() <= Duration::from_millis(100), "the next token came after {:?}", began.elapsed());
    }
}
