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

/// How often each thing was done so far.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) kills: AtomicUsize,
    pub(crate) freezes: AtomicUsize,
    pub(crate) restarts: AtomicUsize,
}

/// Strikes as often as the arguments say, from the first call on and until the set is dropped.
pub(crate) fn begin(
    tasks: &mut JoinSet<()>,
    arguments: &Arguments,
    workers: &Arc<Workers>,
    began: Instant,
) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    let both = || (Arc::clone(workers), Arc::clone(&counts));
    if let Some(every) = arguments.kill_every {
        let (workers, counts) = both();
        tasks.spawn(async move {
            in_turn(began, every, &workers, async |seat| note(&counts.kills, workers.kill(seat))).await;
        });
    }
    if let Some(every) = arguments.freeze_every {
        let (workers, counts) = both();
        tasks.spawn(async move {
            in_turn(began, every, &workers, async |seat| freeze(&counts.freezes, workers.freeze(seat)).await).await;
        });
    }
    if let Some(every) = arguments.restart_every {
        let (workers, counts) = both();
        tasks.spawn(async move {
            in_turn(began, every, &workers, async |seat| note(&counts.restarts, workers.terminate(seat))).await;
        });
    }
    counts
}

/// Strikes one seat after the other.
async fn in_turn(began: Instant, every: Duration, workers: &Workers, mut strike: impl AsyncFnMut(usize)) {
    let mut at = began;
    for seat in workers.in_turn() {
        at += every;
        tokio::time::sleep_until(at.into()).await;
        strike(seat).await;
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
