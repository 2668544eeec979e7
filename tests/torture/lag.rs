//! How late this process itself runs: calls that wait for it arrive in a heap, and no worker is to blame for that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

    /// The sum of what this process was late by between two instants.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.0.lock().unwrap();
        noted.iter().filter(|(at, late)| *at + *late >= from && *at <= to).map(|(_, late)| *late).sum()
    }
}
