//! Waits between retries: exponential backoff with full jitter. The only file that uses the `backoff` crate.

use std::time::Duration;

use ::backoff::backoff::Backoff as _;
use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// An endless sequence of waits. Each is uniformly random between zero and a limit, which doubles up to a cap.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    /// Creates a sequence whose first wait is at most `first` and whose later waits are at most `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        // The crate spreads a wait around its interval. Half the interval with a randomization factor of 1 covers the
        // whole range from zero to the interval.
        let policy = ExponentialBackoffBuilder::default()
            .with_initial_interval(first / 2)
            .with_max_interval(cap / 2)
            .with_multiplier(2.0)
            .with_randomization_factor(1.0)
            .with_max_elapsed_time(None)
            .build();
        Self(policy)
    }

    /// Returns the next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().expect("without a maximum elapsed time there is always a next wait")
    }

    /// Sleeps for the next wait.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Makes an attempt, up to `n_attempts` in total, with a wait between two, until it succeeds or fails with an error
    /// that another attempt cannot fix.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn retry<T, E, F: Future<Output = Result<T, E>>>(
        mut self,
        n_attempts: u32,
        is_transient: impl Fn(&E) -> bool,
        attempt: impl Fn() -> F,
    ) -> Result<T, E> {
        for _ in 1..n_attempts {
            match attempt().await {
                Err(error) if is_transient(&error) => self.wait().await,
                result => return result,
            }
        }
        attempt().await
    }

    /// Restarts the sequence, after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const CAP: Duration = Duration::from_secs(30);

    /// The crate adds a nanosecond to make its range inclusive.
    const ROUNDING: Duration = Duration::from_nanos(2);

    #[test]
    fn each_wait_lies_between_zero_and_a_doubling_limit() {
        for _ in 0..200 {
            let mut backoff = Backoff::new(FIRST, CAP);
            let mut limit = FIRST;
            for _ in 0..12 {
                let wait = backoff.next_wait();
                assert!(wait <= limit + ROUNDING, "{wait:?} is above {limit:?}");
                limit = (limit * 2).min(CAP);
            }
        }
    }

    #[test]
    fn the_jitter_uses_the_whole_range() {
        let mut first_waits: Vec<_> = (0..500).map(|_| Backoff::new(FIRST, CAP).next_wait()).collect();
        first_waits.sort();
        assert!(first_waits[49] < FIRST / 4, "a tenth of the waits is in the first quarter");
        assert!(first_waits[450] > FIRST * 3 / 4, "a tenth of the waits is in the last quarter");
    }

    /// Counts the attempts of a retry whose every attempt fails.
    async fn n_attempts(n_allowed: u32, is_transient: bool) -> u32 {
        let n = AtomicU32::new(0);
        let failing = || std::future::ready(Err::<(), _>(n.fetch_add(1, Ordering::Relaxed) + 1));
        let last = Backoff::new(FIRST, CAP).retry(n_allowed, |_| is_transient, failing).await;
        assert_eq!(last, Err(n.load(Ordering::Relaxed)), "the last error is returned");
        n.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_retried_and_not_forever() {
        assert_eq!(n_attempts(4, true).await, 4);
        assert_eq!(n_attempts(4, false).await, 1);
        assert_eq!(n_attempts(1, true).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_retries() {
        let n = AtomicU32::new(0);
        let second = || std::future::ready(if n.fetch_add(1, Ordering::Relaxed) == 1 { Ok("done") } else { Err(()) });
        assert_eq!(Backoff::new(FIRST, CAP).retry(4, |()| true, second).await, Ok("done"));
        assert_eq!(n.into_inner(), 2);
    }

    #[test]
    fn a_reset_restarts_the_sequence() {
        let mut backoff = Backoff::new(FIRST, CAP);
        (0..10).for_each(|_| assert!(backoff.next_wait() <= CAP + ROUNDING));
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST + ROUNDING);
    }
}
