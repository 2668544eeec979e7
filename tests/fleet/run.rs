//! A run of the workers, from the first call on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::plant::{Plant, SLOTS, VISIBILITY};
use crate::progress::{self, Supply};
use crate::strikes::{self, Counts};
use crate::workers::Workers;

/// How long the first call may take to arrive; far more than it needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Extra work beyond the whole time, in seconds of the whole rate.
const SPARE_SECONDS: f64 = 2.0;

/// Work that a killed worker holds, in seconds of the whole rate.
const HELD_SECONDS: f64 = 3.0;

pub(crate) struct Run {
    /// When the first call arrived.
    pub(crate) started: Instant,
    workers: Arc<Workers>,
    counts: Arc<Counts>,
    supply: Supply,
    /// The tasks that strike workers and report progress.
    tasks: JoinSet<()>,
}

impl Run {
    /// Starts the workers and waits until the first call has arrived.
    pub(crate) async fn start(plant: &Plant, arguments: &Arguments) -> Self {
        eprintln!("the queue is filled; settings and logs are in {}", plant.folder().display());
        let seen: Vec<usize> = plant.sites.iter().map(|site| site.ledger().n_calls()).collect();
        let workers = Arc::new(Workers::start(arguments.workers, plant.folder()));
        let since = Instant::now();
        let started = loop {
            let firsts =
                plant.sites.iter().zip(&seen).filter_map(|(site, &seen)| site.calls_from(seen).first().copied());
            if let Some(first) = firsts.map(|call| call.at).min() {
                break first;
            }
            assert!(since.elapsed() < PATIENCE, "no call has arrived in {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let mut tasks = JoinSet::new();
        let counts = strikes::begin(&mut tasks, arguments, &workers, started);
        let supply = Supply::watch(&mut tasks, plant);
        progress::report(&mut tasks, plant, started, Arc::clone(&counts));
        Self { started, workers, counts, supply, tasks }
    }

    /// Waits until the given time after the first call.
    pub(crate) async fn until(&self, after: Duration) {
        tokio::time::sleep_until((self.started + after).into()).await;
    }

    /// Kills the workers and returns what was done to them, and the fewest messages that waited at any time.
    pub(crate) async fn stop(mut self, arguments: &Arguments) -> Value {
        let least = self.supply.least();
        self.tasks.shutdown().await;
        let crashes = self.workers.crashes();
        Arc::get_mut(&mut self.workers).expect("the tasks that strike workers have ended").kill_all().await;
        if least == 0 {
            eprintln!("the queue ran empty: the figures show more than the workers' own limit");
        }
        let mut facts = serde_json::to_value(&*self.counts).unwrap();
        facts["crashes"] = crashes.into();
        facts["least_messages_left"] = least.into();
        facts["workers"] = arguments.workers.into();
        facts["rate"] = json!(arguments.rate.per_second());
        facts
    }
}

/// Returns how many jobs are needed so that the queue does not run empty at a rate. This includes what workers can
/// hold, such as throttled jobs that wait, and what kills keep hidden.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are above zero and bounded")]
#[expect(clippy::cast_precision_loss, reason = "slots are few")]
pub(crate) fn n_jobs(arguments: &Arguments, rate: f64) -> usize {
    let time = arguments.settle() + arguments.seconds;
    let slots = SLOTS as f64;
    let held = slots * f64::from(arguments.workers);
    let kills = arguments.kill_every.map_or(0.0, |every| VISIBILITY.min(time).div_duration_f64(every).ceil());
    let hidden = kills * slots.min(rate * HELD_SECONDS);
    (rate * (time.as_secs_f64() * 1.3 + SPARE_SECONDS) + held + hidden).ceil() as usize
}
