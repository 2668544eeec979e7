//! How late this process itself runs: calls delayed by it arrive in bursts that are not the workers' fault.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_core::rate::{Rate, burst_of};
use tokio::task::JoinSet;

/// How often the clock is checked.
const EVERY: Duration = Duration::from_millis(5);

/// Lateness below this is normal.
const WORTH_NOTING: Duration = Duration::from_millis(15);

/// When this process ran late, and by how much.
#[derive(Clone, Default)]
pub(crate) struct Lag(Arc<Mutex<Vec<(Instant, Duration)>>>);

impl Lag {
    /// Watches until the set is dropped.
    pub(crate) fn watch(&self, tasks: &mut JoinSet<()>) {
        let lag = self.clone();
        tasks.spawn(async move {
            loop {
                let started_at = Instant::now();
                tokio::time::sleep(EVERY).await;
                let late = started_at.elapsed().saturating_sub(EVERY);
                if late > WORTH_NOTING {
                    lag.0.lock().unwrap().push((started_at, late));
                }
            }
        });
    }

    /// Returns the seconds with more calls than all workers together may make: how many calls, and when the last one
    /// arrived. Allows for the time by which this process itself was late. Arrivals are times since `started`.
    pub(crate) fn crowded(&self, rate: Rate, started: Instant, arrivals: &[Duration]) -> Vec<(usize, Duration)> {
        let (mut first, mut crowded) = (0, Vec::new());
        for (last, &arrived) in arrivals.iter().enumerate() {
            while arrived.saturating_sub(arrivals[first]) >= Duration::from_secs(1) {
                first += 1;
            }
            let n = last + 1 - first;
            #[expect(clippy::cast_precision_loss, reason = "calls fit into memory")]
            let excess = n as f64 - calls_a_second_max(rate);
            let late = || self.between(started + arrivals[first], started + arrived).as_secs_f64();
            if excess > 0.0 && excess > late() * rate.per_second() {
                crowded.push((n, arrived));
            }
        }
        crowded
    }

    /// Returns the total time by which this process was late between two instants.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.0.lock().unwrap();
        noted.iter().filter(|(at, late)| *at + *late >= from && *at <= to).map(|(_, late)| *late).sum()
    }
}

/// Returns the maximum number of calls that all workers together may make in any second. The 5 % on top allow for
/// network jitter.
pub(crate) fn calls_a_second_max(rate: Rate) -> f64 {
    (rate.per_second() + f64::from(burst_of(rate)) + 1.0) * 1.05
}
