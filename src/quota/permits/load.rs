//! How busy a permit pool is in this worker: who waits, what was served recently, and the learnt rate.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prometheus::{Gauge, IntCounter};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Feedback;
use super::lease::LEASE;
use crate::ledger::rate_limit::Lease;
use muster_core::rate::Rate;

/// How far back a worker looks to decide how many jobs it may hold: as many may wait as were started in this time, and
/// as many more are received as got an outcome in it without a call. A longer window would hold back jobs that another
/// worker could start; a shorter one would starve the quota while SQS answers slowly.
pub const WINDOW: Duration = Duration::from_secs(2);

/// How long after its last request for a permit a target is assumed to have more work in the queue.
const MORE_IS_LIKELY: Duration = Duration::from_secs(10);

/// At least this many consecutive throttles over at least this time mean that AWS lets nothing through. A rate that is
/// only a little too high causes fewer.
const TOTAL_THROTTLE: (u32, Duration) = (10, Duration::from_secs(2));

/// The metrics of a permit pool.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The learnt rate, in calls a second: one gauge for each target that shares the quota.
    pub learnt: Vec<Gauge>,
    /// Permits leased from the ledger.
    pub leased: IntCounter,
}

impl Gauges {
    fn show(&self, learnt: Rate) {
        self.learnt.iter().for_each(|gauge| gauge.set(learnt.per_second()));
    }
}

/// The state that a permit pool shares with its dispenser.
#[derive(Debug)]
pub(super) struct Load {
    /// The learnt rate, as the bits of an `f64`.
    learnt: AtomicU64,
    ceiling: Rate,
    waiting: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    successes: AtomicU64,
    recent: Mutex<RecentActivity>,
    gauges: Gauges,
    /// Takes rate feedback.
    feedback_sender: mpsc::UnboundedSender<Feedback>,
}

#[derive(Debug, Default)]
struct RecentActivity {
    /// When the permits of the last [`WINDOW`] were handed out.
    served: VecDeque<Instant>,
    /// When a job last asked for a permit.
    asked: Option<Instant>,
    /// The number of throttles since a call last succeeded, and when the first of them arrived.
    throttles: Option<(u32, Instant)>,
}

/// Keeps a job counted until it is dropped.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn among(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Load {
    pub(super) fn new(
        learnt: Rate,
        ceiling: Rate,
        gauges: Gauges,
        feedback_sender: mpsc::UnboundedSender<Feedback>,
    ) -> Self {
        gauges.show(learnt);
        Self {
            learnt: AtomicU64::new(learnt.per_second().to_bits()),
            ceiling,
            waiting: Arc::default(),
            held: Arc::default(),
            successes: AtomicU64::new(0),
            recent: Mutex::default(),
            gauges,
            feedback_sender,
        }
    }

    /// Returns the configured rate.
    pub(super) fn ceiling(&self) -> Rate {
        self.ceiling
    }

    /// Returns the learnt rate as of the last lease.
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
            self.send_feedback(Feedback::Risen { from: lease.noted_rate });
        }
    }

    /// Passes feedback on.
    pub(super) fn send_feedback(&self, feedback: Feedback) {
        // Fails only when the runtime shuts down.
        let _ = self.feedback_sender.send(feedback);
    }

    /// Notes that a permit was handed out.
    pub(super) fn served(&self) {
        self.recent().served.push_back(Instant::now());
    }

    /// Notes that a call succeeded.
    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        let throttles = self.recent().throttles.take();
        if throttles.is_some_and(|(n, since)| n >= TOTAL_THROTTLE.0 && since.elapsed() >= TOTAL_THROTTLE.1) {
            self.send_feedback(Feedback::Recovered);
        }
    }

    /// Notes that AWS throttled a call whose permit was granted at this instant of the ledger's clock.
    pub(super) fn throttled(&self, granted_at: OffsetDateTime) {
        let mut recent = self.recent();
        let went_through = recent.throttles.is_none();
        recent.throttles.get_or_insert((0, Instant::now())).0 += 1;
        drop(recent);
        self.send_feedback(Feedback::Throttled { granted_at, went_through });
    }

    /// Returns how many calls have succeeded.
    pub(super) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Counts a job that waits for a permit.
    pub(super) fn wait(&self) -> Counted {
        self.recent().asked = Some(Instant::now());
        Counted::among(&self.waiting)
    }

    /// Counts a job that is held.
    pub(super) fn hold(&self) -> Counted {
        Counted::among(&self.held)
    }

    /// Returns how many jobs are held.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns how many permits were handed out in the last [`WINDOW`].
    pub(super) fn n_served_recently(&self) -> usize {
        self.recent().served.len()
    }

    /// Returns how many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many jobs may wait: as many as were served in the last [`WINDOW`], or two leases' worth if that is
    /// more.
    pub(super) fn may_wait(&self) -> usize {
        self.n_served_recently().max(2 * self.learnt().calls_in(LEASE).max(1))
    }

    /// Returns whether a job asked for a permit within [`MORE_IS_LIKELY`].
    pub(super) fn had_work(&self) -> bool {
        self.recent().asked.is_some_and(|at| at.elapsed() < MORE_IS_LIKELY)
    }

    fn recent(&self) -> MutexGuard<'_, RecentActivity> {
        let mut recent = self.recent.lock().expect("nothing panics while it holds this lock");
        while recent.served.front().is_some_and(|at| at.elapsed() > WINDOW) {
            recent.served.pop_front();
        }
        recent
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a load and its feedback.
    fn load() -> (Load, mpsc::UnboundedReceiver<Feedback>) {
        let (feedback_sender, feedback) = mpsc::unbounded_channel();
        let gauges = Gauges { learnt: vec![], leased: IntCounter::new("leased", "leased").unwrap() };
        let rate = Rate::new(100.0).unwrap();
        (Load::new(rate, rate, gauges, feedback_sender), feedback)
    }

    /// Returns whether a success counts as a recovery after `n_throttles` over `time`.
    async fn is_recovery(n_throttles: u32, time: Duration) -> bool {
        let (load, mut feedback) = load();
        for _ in 0..n_throttles {
            load.throttled(OffsetDateTime::UNIX_EPOCH);
        }
        tokio::time::advance(time).await;
        load.succeeded();
        std::iter::from_fn(|| feedback.try_recv().ok()).any(|feedback| matches!(feedback, Feedback::Recovered))
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_after_a_total_throttle_is_a_recovery() {
        assert!(is_recovery(10, Duration::from_secs(2)).await);
        assert!(
            !is_recovery(9, Duration::from_mins(1)).await,
            "a rate that is only a little too high causes this many"
        );
        assert!(
            !is_recovery(1000, Duration::from_millis(1900)).await,
            "calls made at the same moment can all be throttled"
        );
        assert!(!is_recovery(0, Duration::from_mins(1)).await);
    }

    #[tokio::test]
    async fn only_the_first_throttle_after_a_success_reports_it() {
        let (load, mut feedback) = load();
        load.throttled(OffsetDateTime::UNIX_EPOCH);
        load.throttled(OffsetDateTime::UNIX_EPOCH);
        load.succeeded();
        load.throttled(OffsetDateTime::UNIX_EPOCH);
        let went_through = std::iter::from_fn(|| feedback.try_recv().ok()).filter_map(|feedback| match feedback {
            Feedback::Throttled { went_through, .. } => Some(went_through),
            Feedback::Recovered | Feedback::Risen { .. } => None,
        });
        assert_eq!(went_through.collect::<Vec<_>>(), [true, false, true]);
    }
}
