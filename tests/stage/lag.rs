//! How late this process itself runs: calls that wait for it arrive in a heap, and no worker is to blame for that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_core::rate::{Rate, burst_of};
use tokio::task::JoinSet;

/// How often is looked at the clock.
const EVERY: Duration = Duration::from_millis(5);

/// Lateness below this is everybody's.
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
                let asked = Instant::now();
                tokio::time::sleep(EVERY).await;
                let late = asked.elapsed().saturating_sub(EVERY);
                if late > WORTH_NOTING {
                    lag.0.lock().unwrap().push((asked, late));
                }
            }
        });
    }

    /// The seconds that have more calls than all workers together may make: how many, and when the last arrived. Granted
    /// is what this process itself was late by. Arrivals are times since `started`.
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

    /// The sum of what this process was late by between two instants.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.0.lock().unwrap();
        noted.iter().filter(|(at, late)| *at + *late >= from && *at <= to).map(|(_, late)| *late).sum()
    }
}

/// Calls a second of all workers together that may arrive, whatever happens; the share on top is the network's.
pub(crate) fn calls_a_second_max(rate: Rate) -> f64 {
    (rate.per_second() + f64::from(burst_of(rate)) + 1.0) * 1.05
}
