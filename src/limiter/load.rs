//! How busy a target's tokens are in this worker: who waits, what was called lately, and the rate that was learnt.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prometheus::{Gauge, IntCounter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Lesson;
use super::lease::{LEASE, Lease};
use super::rate::Rate;

/// The time whose calls bound the jobs that wait for more of them.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// For so long a target that had work is believed to have more in the queue.
const MORE_IS_LIKELY: Duration = Duration::from_secs(10);

/// What is measured of a limiter.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The learnt rate, in calls a second: one gauge for each target that shares the quota.
    pub learnt: Vec<Gauge>,
    /// Tokens leased from the ledger.
    pub leased: IntCounter,
}

impl Gauges {
    fn show(&self, learnt: Rate) {
        self.learnt.iter().for_each(|gauge| gauge.set(learnt.per_second()));
    }
}

/// The state that a limiter shares with its dispenser.
#[derive(Debug)]
pub(super) struct Load {
    /// The learnt rate, as the bits of an `f64`.
    learnt: AtomicU64,
    ceiling: Rate,
    waiting: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    successes: AtomicU64,
    lately: Mutex<Lately>,
    gauges: Gauges,
    /// Where lessons go.
    teacher: mpsc::UnboundedSender<Lesson>,
}

#[derive(Debug, Default)]
struct Lately {
    /// Tokens of the last [`WINDOW`].
    served: VecDeque<Instant>,
    /// When a job last asked for a token.
    asked: Option<Instant>,
}

/// A job that is counted, until it is dropped.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn among(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Load {
    pub(super) fn new(learnt: Rate, ceiling: Rate, gauges: Gauges, teacher: mpsc::UnboundedSender<Lesson>) -> Self {
        gauges.show(learnt);
        Self {
            learnt: AtomicU64::new(learnt.per_second().to_bits()),
            ceiling,
            waiting: Arc::default(),
            held: Arc::default(),
            successes: AtomicU64::new(0),
            lately: Mutex::default(),
            gauges,
            teacher,
        }
    }

    /// The configured rate.
    pub(super) fn ceiling(&self) -> Rate {
        self.ceiling
    }

    /// The rate that the ledger knew at the last lease.
    pub(super) fn learnt(&self) -> Rate {
        let rate = f64::from_bits(self.learnt.load(Ordering::Relaxed));
        Rate::new(rate).expect("only rates are stored")
    }

    /// Notes a lease.
    pub(super) fn leased(&self, lease: &Lease) {
        self.learnt.store(lease.rate.per_second().to_bits(), Ordering::Relaxed);
        self.gauges.show(lease.rate);
        self.gauges.leased.inc_by(lease.n as u64);
        if lease.is_rise() {
            self.teach(Lesson::Risen { from: lease.noted_rate });
        }
    }

    /// Passes a lesson on.
    pub(super) fn teach(&self, lesson: Lesson) {
        // Whoever listens ends only with the runtime.
        let _ = self.teacher.send(lesson);
    }

    /// Notes that a token was handed over.
    pub(super) fn served(&self) {
        self.lately().served.push_back(Instant::now());
    }

    /// Notes that a call went through.
    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls went through.
    pub(super) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Counts a job that waits for a token.
    pub(super) fn wait(&self) -> Counted {
        self.lately().asked = Some(Instant::now());
        Counted::among(&self.waiting)
    }

    /// Counts a job that is held.
    pub(super) fn hold(&self) -> Counted {
        Counted::among(&self.held)
    }

    /// How many jobs are held.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many tokens were handed over in the last [`WINDOW`].
    pub(super) fn served_lately(&self) -> usize {
        self.lately().served.len()
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many jobs may wait: as many as were called for lately, or two leases.
    pub(super) fn may_wait(&self) -> usize {
        self.served_lately().max(2 * self.learnt().calls_in(LEASE).max(1))
    }

    /// Says whether there was work not long ago.
    pub(super) fn had_work(&self) -> bool {
        self.lately().asked.is_some_and(|at| at.elapsed() < MORE_IS_LIKELY)
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        let mut lately = self.lately.lock().expect("nothing panics while it holds this lock");
        while lately.served.front().is_some_and(|at| at.elapsed() > WINDOW) {
            lately.served.pop_front();
        }
        lately
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
