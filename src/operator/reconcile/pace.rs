//! Paces the calls to AWS: evenly spaced, and at half the rate for a while after a throttle.

use std::time::Duration;

use tokio::time::Instant;

use muster_core::rate::Rate;

/// How long the rate stays halved after a throttle: others use the quota, and their work takes precedence.
const SLOW_FOR: Duration = Duration::from_mins(1);

/// Spaces calls evenly.
#[derive(Debug)]
pub(super) struct CallSpacing {
    period: Duration,
    next: Instant,
    slow_until: Option<Instant>,
}

impl CallSpacing {
    pub(super) fn new(rate: Rate) -> Self {
        Self { period: rate.period(), next: Instant::now(), slow_until: None }
    }

    /// Waits until the next call may be made. Unused turns are lost: there are no bursts.
    pub(super) async fn turn(&mut self) {
        tokio::time::sleep_until(self.next).await;
        let now = Instant::now();
        let is_slow = self.slow_until.is_some_and(|until| now < until);
        self.next = now + if is_slow { self.period * 2 } else { self.period };
    }

    /// Halves the rate for a while.
    pub(super) fn throttled(&mut self) {
        self.slow_until = Some(Instant::now() + SLOW_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn time_of_ten(pace: &mut CallSpacing) -> Duration {
        let began = Instant::now();
        for _ in 0..10 {
            pace.turn().await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_the_rate_for_a_while() {
        let mut pace = CallSpacing::new(Rate::new(5.0).unwrap());
        pace.turn().await;
        let is_close = |time: Duration, wanted: f64| (time.as_secs_f64() - wanted).abs() < 0.05;
        let time = time_of_ten(&mut pace).await;
        assert!(is_close(time, 2.0), "{time:?}");
        pace.throttled();
        pace.turn().await;
        let time = time_of_ten(&mut pace).await;
        assert!(is_close(time, 4.0), "{time:?}");
        tokio::time::advance(SLOW_FOR).await;
        pace.turn().await;
        let time = time_of_ten(&mut pace).await;
        assert!(is_close(time, 2.0), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn unused_turns_are_lost() {
        let mut pace = CallSpacing::new(Rate::new(5.0).unwrap());
        tokio::time::advance(Duration::from_mins(1)).await;
        let time = time_of_ten(&mut pace).await;
        assert!(time > Duration::from_millis(1_700), "{time:?}");
    }
}
