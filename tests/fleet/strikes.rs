//! What is done to the workers while they work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::server::kill;
use crate::workers::Workers;

/// How long a worker is frozen.
const FREEZE: Duration = Duration::from_secs(2);

/// How often each strike happened so far.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) kills: AtomicUsize,
    pub(crate) freezes: AtomicUsize,
    pub(crate) restarts: AtomicUsize,
}

/// What can be done to a worker.
#[derive(Clone, Copy)]
enum Strike {
    Kill,
    Freeze,
    Restart,
}

/// Strikes as often as the arguments say, from the first call until the set is dropped.
pub(crate) fn begin(
    tasks: &mut JoinSet<()>,
    arguments: &Arguments,
    workers: &Arc<Workers>,
    started: Instant,
) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    for (strike, every) in [
        (Strike::Kill, arguments.kill_every),
        (Strike::Freeze, arguments.freeze_every),
        (Strike::Restart, arguments.restart_every),
    ] {
        let Some(every) = every else { continue };
        let (workers, counts) = (Arc::clone(workers), Arc::clone(&counts));
        tasks.spawn(async move { strike.in_turn(started, every, &workers, &counts).await });
    }
    counts
}

impl Strike {
    /// Strikes one seat after another.
    async fn in_turn(self, started: Instant, every: Duration, workers: &Workers, counts: &Counts) {
        let mut at = started;
        for seat in workers.in_turn() {
            at += every;
            tokio::time::sleep_until(at.into()).await;
            match self {
                Self::Kill => note(&counts.kills, workers.kill(seat)),
                Self::Freeze => freeze(&counts.freezes, workers.freeze(seat)).await,
                Self::Restart => note(&counts.restarts, workers.terminate(seat)),
            }
        }
    }
}

async fn freeze(count: &AtomicUsize, frozen: Option<u32>) {
    note(count, frozen.is_some());
    let Some(pid) = frozen else { return };
    tokio::time::sleep(FREEZE).await;
    kill("CONT", pid);
}

fn note(count: &AtomicUsize, happened: bool) {
    count.fetch_add(usize::from(happened), Ordering::Relaxed);
}
