//! Hands out permits: one permit is one call to AWS, and all workers together get as many as the quota allows.
//!
//! A permit is valid around one instant. Runs of them are leased by a [`crate::quota::lease_client`] from one row of
//! the ledger, which also learns the rate that AWS really allows. One dispenser task serves the waiters in order, so
//! none starves. The leases alone set the pace (GCRA); `governor` is only a guard behind them, at the configured rate.

mod dispenser;
mod guard;
mod lease;
mod load;

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

pub use load::{Counted, Gauges, WINDOW};

use crate::ledger::rate_limit::Lease;
use muster_core::rate::Rate;

use dispenser::{WaitQueue, Waiter, dispense};
use guard::Guard;
use load::Load;

/// A lease that takes longer than this to arrive is discarded, because its permits may have expired. This also covers a
/// process that was suspended meanwhile.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// The permits of one target and operation; clones share them.
#[derive(Clone, Debug)]
pub struct PermitPool {
    waiters: mpsc::UnboundedSender<Waiter>,
    load: Arc<Load>,
}

/// Rate feedback for the ledger: an event that changes the rate of all workers, or a change worth recording.
#[derive(Clone, Copy, Debug)]
pub enum Feedback {
    /// AWS throttled a call.
    Throttled {
        /// When the call's permit was granted, by the ledger's clock.
        granted_at: OffsetDateTime,
        /// Whether a call has succeeded since the last throttle.
        went_through: bool,
    },
    /// A call succeeded, after AWS had throttled every call for a while.
    Recovered,
    /// The rate has risen far enough above the last recorded one to be worth recording.
    Risen {
        /// The last recorded rate, in calls a second.
        from: f64,
    },
}

/// The right to make one call.
#[derive(Debug)]
pub struct Permit {
    /// When it was granted, by the ledger's clock.
    granted_at: OffsetDateTime,
}

impl PermitPool {
    /// Creates a permit pool that gets its permits from `lease`, which must retry until it has a lease. `learnt` is the
    /// rate learnt so far, `ceiling` the configured one.
    ///
    /// Returns the pool, a receiver of rate feedback for the ledger, and a future that the caller must poll; it
    /// completes when the last clone of the pool is dropped.
    pub fn new<F: Future<Output = Lease>>(
        lease: impl Fn(usize) -> F,
        learnt: Rate,
        ceiling: Rate,
        gauges: Gauges,
    ) -> (Self, mpsc::UnboundedReceiver<Feedback>, impl Future<Output = ()>) {
        let (waiters, queue) = mpsc::unbounded_channel();
        let (feedback_sender, feedback) = mpsc::unbounded_channel();
        let load = Arc::new(Load::new(learnt, ceiling, gauges, feedback_sender));
        let work = dispense(queue, WaitQueue::new(Arc::clone(&load)), Guard::new(ceiling), lease);
        (Self { waiters, load }, feedback, work)
    }

    /// Returns whether both are the same pool.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.load, &other.load)
    }

    /// Waits for a permit, in the order of the calls.
    ///
    /// Dropping the future passes its turn to the next waiter; no permit is lost.
    pub async fn acquire(&self) -> Permit {
        let (waiter, turn) = oneshot::channel();
        self.waiters.send(waiter).expect("the dispenser lives as long as the pool");
        turn.await.expect("the dispenser serves every waiter in the queue")
    }

    /// Notes that AWS throttled this permit's call: the rate that all workers share is cut (multiplicative decrease).
    pub fn throttled(&self, permit: &Permit) {
        self.load.throttled(permit.granted_at);
    }

    /// Notes that a call succeeded.
    pub fn succeeded(&self) {
        self.load.succeeded();
    }

    /// Returns how many calls have succeeded. It distinguishes a problem of one job from a problem of all.
    pub fn successes(&self) -> u64 {
        self.load.successes()
    }

    /// Returns the configured rate.
    pub fn ceiling(&self) -> Rate {
        self.load.ceiling()
    }

    /// Returns the learnt rate as of the last lease.
    pub fn learnt(&self) -> Rate {
        self.load.learnt()
    }

    /// Counts a job as waiting for a permit until the returned guard is dropped.
    pub fn wait(&self) -> Counted {
        self.load.wait()
    }

    /// Counts a job as held until the returned guard is dropped.
    pub fn hold(&self) -> Counted {
        self.load.hold()
    }

    /// Returns how many jobs are held.
    pub fn held(&self) -> usize {
        self.load.held()
    }

    /// Returns how many more jobs may wait: as many as got a permit in the last two seconds, or two leases' worth if
    /// that is more, less those that wait already.
    pub fn room(&self) -> usize {
        self.load.may_wait().saturating_sub(self.load.waiting())
    }

    /// Returns how many permits were handed out in the last two seconds.
    pub fn served(&self) -> usize {
        self.load.n_served_recently()
    }

    /// Returns whether fewer than half as many jobs wait as may.
    pub fn is_short_of_work(&self) -> bool {
        self.load.waiting() * 2 < self.load.may_wait()
    }

    /// Returns whether a job asked for a permit in the last ten seconds.
    pub fn had_work(&self) -> bool {
        self.load.had_work()
    }

    /// Returns whether the pool may soon lack work although there is probably more in the queue.
    pub fn is_underfed(&self) -> bool {
        self.load.had_work() && self.is_short_of_work()
    }

    /// Returns the demand: how many parked jobs could be resent now, which is two seconds' worth less those that wait
    /// here.
    pub fn demand(&self) -> usize {
        let wanted = self.learnt().calls_in(WINDOW).max(self.load.may_wait());
        wanted.saturating_sub(self.load.waiting())
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "tests have few permits"
)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use muster_core::rate::{burst_of, burst_time};

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).unwrap()
    }

    /// Grants permits as the ledger does, with its own clock and row.
    #[derive(Clone)]
    struct Row {
        rate: Rate,
        started: Instant,
        next_free: Arc<Mutex<f64>>,
        answer_time: Duration,
    }

    impl Row {
        fn new(per_second: f64) -> Self {
            let (started, next_free) = (Instant::now(), Arc::default());
            Self { rate: rate(per_second), started, next_free, answer_time: Duration::from_millis(2) }
        }

        async fn lease(self, n: usize) -> Lease {
            let lease = {
                let now = self.started.elapsed().as_secs_f64();
                let mut next_free = self.next_free.lock().unwrap();
                let first = next_free.max(now - burst_time(self.rate).as_secs_f64() / 2.0);
                *next_free = first + n as f64 / self.rate.per_second();
                Lease { n, first_in: first - now, ..empty_lease(self.rate) }
            };
            tokio::time::sleep(self.answer_time).await;
            lease
        }

        fn permits(&self) -> PermitPool {
            self.pool_below(self.rate)
        }

        fn pool_below(&self, ceiling: Rate) -> PermitPool {
            let row = self.clone();
            let (permits, _, work) = PermitPool::new(move |n| row.clone().lease(n), self.rate, ceiling, gauges());
            tokio::spawn(work);
            permits
        }
    }

    fn empty_lease(rate: Rate) -> Lease {
        Lease { n: 0, first_in: 0.0, rate, noted_rate: rate.per_second(), granted_at: OffsetDateTime::UNIX_EPOCH }
    }

    fn gauges() -> Gauges {
        Gauges {
            learnt: vec![prometheus::Gauge::new("learnt", "learnt").unwrap()],
            leased: prometheus::IntCounter::new("leased", "leased").unwrap(),
        }
    }

    /// Takes permits for a time, as fast as they arrive, with forty waiters per pool; returns when each arrived.
    async fn taken_in(pools: &[PermitPool], time: Duration) -> Vec<Instant> {
        let end = Instant::now() + time;
        let (taken, mut times) = mpsc::unbounded_channel();
        for permits in pools {
            for _ in 0..40 {
                let (permits, taken) = (permits.clone(), taken.clone());
                tokio::spawn(async move {
                    while tokio::time::timeout_at(end, permits.acquire()).await.is_ok() {
                        taken.send(Instant::now()).unwrap();
                    }
                });
            }
        }
        drop(taken);
        let mut all = Vec::new();
        while let Some(time) = times.recv().await {
            all.push(time);
        }
        all
    }

    fn worst_second(times: &[Instant]) -> usize {
        let n_from =
            |from: Instant| times.iter().filter(|&&at| at >= from && at - from < Duration::from_secs(1)).count();
        times.iter().map(|&from| n_from(from)).max().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn one_worker_or_many_use_the_whole_rate() {
        for (per_second, n_workers) in [(10.0, 1), (10.0, 4), (200.0, 1), (200.0, 4), (2000.0, 4)] {
            let row = Row::new(per_second);
            let workers: Vec<_> = (0..n_workers).map(|_| row.permits()).collect();
            let taken = taken_in(&workers, Duration::from_secs(10)).await;
            let share = taken.len() as f64 / (per_second * 10.0);
            assert!((0.99..=1.0).contains(&share), "{share} at {per_second}/s with {n_workers}");
            let allowed = per_second as usize + burst_of(rate(per_second)) as usize + 1;
            assert!(worst_second(&taken) <= allowed, "{} in a second at {per_second}/s", worst_second(&taken));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_ledger_costs_no_permits() {
        let row = Row { answer_time: Duration::from_millis(150), ..Row::new(100.0) };
        let share = taken_in(&[row.permits()], Duration::from_secs(10)).await.len() as f64 / 1000.0;
        assert!(share >= 0.97, "{share}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_starts_without_saved_up_permits() {
        let permits = Row::new(10.0).permits();
        assert_eq!(taken_in(&[permits], Duration::from_millis(90)).await.len(), 1, "only the permit that is due now");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_up_no_more_than_the_burst() {
        let row = Row::new(200.0);
        let permits = row.permits();
        tokio::time::sleep(Duration::from_hours(1)).await;
        let taken = taken_in(&[permits], Duration::from_secs(3)).await;
        assert!(worst_second(&taken) <= 221, "{}", worst_second(&taken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_job_after_an_idle_hour_is_served_at_once() {
        let permits = Row::new(500.0).permits();
        tokio::time::sleep(Duration::from_hours(1)).await;
        let began = Instant::now();
        permits.acquire().await;
        assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn permits_of_a_late_lease_are_discarded() {
        let row = Row { answer_time: SLOW, ..Row::new(100.0) };
        assert_eq!(taken_in(&[row.permits()], Duration::from_secs(5)).await.len(), 0, "the process was suspended");
    }

    #[tokio::test(start_paused = true)]
    async fn unused_permits_expire() {
        let row = Row::new(200.0);
        let permits = row.permits();
        let mut waits = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let permits = permits.clone();
            waits.spawn(async move { permits.acquire().await });
        }
        waits.join_next().await.unwrap().unwrap();
        waits.shutdown().await;
        tokio::time::sleep(Duration::from_hours(1)).await;
        let leased_until = *row.next_free.lock().unwrap();
        permits.acquire().await;
        assert!(*row.next_free.lock().unwrap() > leased_until, "an expired permit was used");
    }

    #[tokio::test(start_paused = true)]
    async fn an_excessive_lease_is_held_to_the_ceiling() {
        let permits = Row::new(1000.0).pool_below(rate(10.0));
        let n = taken_in(&[permits], Duration::from_secs(10)).await.len();
        assert!((1..=105).contains(&n), "{n}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order() {
        let permits = Row::new(100.0).permits();
        let (served, mut order) = mpsc::unbounded_channel();
        for i in 0..50 {
            let (permits, served) = (permits.clone(), served.clone());
            tokio::spawn(async move {
                permits.acquire().await;
                served.send(i).unwrap();
            });
        }
        drop(served);
        let mut seen = Vec::new();
        while let Some(i) = order.recv().await {
            seen.push(i);
        }
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_leased_for_cancelled_waiters() {
        let row = Row { answer_time: Duration::from_millis(50), ..Row::new(10.0) };
        let permits = row.permits();
        for _ in 0..5 {
            let waited = tokio::time::timeout(Duration::from_millis(1), permits.acquire()).await;
            assert!(waited.is_err());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(*row.next_free.lock().unwrap() <= 0.2, "only the first permit was requested before its waiter left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_is_underfed_below_half_of_its_recent_permits() {
        let permits = Row::new(100.0).permits();
        assert!(!permits.is_underfed(), "it never had work");
        taken_in(std::slice::from_ref(&permits), Duration::from_secs(3)).await;
        assert!(!permits.is_underfed(), "no job was reported as waiting");
        drop(permits.wait());
        assert!(permits.is_underfed() && permits.room() > 190, "{}", permits.room());
        let waits: Vec<_> = (0..201).map(|_| permits.wait()).collect();
        assert!(permits.room() == 0 && !permits.is_underfed());
        drop(waits);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!permits.is_underfed(), "more work is no longer likely");
    }
}
