//! Serves the waiters of a permit pool, in order, with leased permits.
//!
//! One task: a permit that becomes due wakes it and one waiter, not all of them. Permits are leased only for waiters
//! that exist, at most one lease ahead; a permit that is not used in its time is discarded.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::guard::Guard;
use super::lease::{LeasePace, LeasedPermit};
use super::load::Load;
use super::{Permit, SLOW};
use crate::ledger::rate_limit::Lease;
use crate::runtime::sleep_until;

/// A caller that waits for a permit.
pub(super) type Waiter = oneshot::Sender<Permit>;

/// The waiters, and the leased permits for them.
pub(super) struct WaitQueue {
    waiters: VecDeque<Waiter>,
    leased: VecDeque<LeasedPermit>,
    pace: LeasePace,
    load: Arc<Load>,
}

/// A lease request in progress, and when it was sent.
struct PendingLease<F> {
    at: Instant,
    answer: Pin<Box<F>>,
}

/// Serves the queue with leases from `lease`, which retries until it has one; returns when all senders of `queue` are
/// dropped.
pub(super) async fn dispense<F>(
    mut queue: mpsc::UnboundedReceiver<Waiter>,
    mut waiting: WaitQueue,
    guard: Guard,
    lease: impl Fn(usize) -> F,
) where
    F: Future<Output = Lease>,
{
    let mut pending: Option<PendingLease<F>> = None;
    loop {
        if pending.is_none() && waiting.request_at().is_some_and(|at| at <= Instant::now()) {
            let n = waiting.wanted();
            pending = (n > 0).then(|| PendingLease { at: Instant::now(), answer: Box::pin(lease(n)) });
        }
        tokio::select! {
            waiter = queue.recv() => match waiter {
                Some(waiter) => waiting.waiters.push_back(waiter),
                None => return,
            },
            (lease, at) = answer(&mut pending) => {
                pending = None;
                waiting.granted(lease, at);
            }
            () = sleep_until(waiting.serve_at()) => {
                guard.pass().await;
                waiting.serve();
            }
            () = sleep_until(waiting.request_at()), if pending.is_none() => {}
        }
    }
}

/// Waits for the requested lease; returns it and when it was requested. Pending forever if none was requested.
async fn answer<F: Future<Output = Lease>>(pending: &mut Option<PendingLease<F>>) -> (Lease, Instant) {
    match pending {
        Some(pending) => (pending.answer.as_mut().await, pending.at),
        None => std::future::pending().await,
    }
}

impl WaitQueue {
    /// Creates an empty queue.
    pub(super) fn new(load: Arc<Load>) -> Self {
        Self { waiters: VecDeque::new(), leased: VecDeque::new(), pace: LeasePace::new(), load }
    }

    /// Returns when to serve the first waiter, if there are a waiter and a permit.
    fn serve_at(&self) -> Option<Instant> {
        self.leased.front().filter(|_| !self.waiters.is_empty()).map(|permit| permit.due)
    }

    /// Returns when to request the next lease, or `None` while there are permits for all waiters.
    fn request_at(&self) -> Option<Instant> {
        if self.waiters.len() <= self.leased.len() {
            return None;
        }
        let last = self.leased.back().map(|permit| permit.due);
        Some(last.and_then(|last| last.checked_sub(self.pace.lead())).unwrap_or_else(Instant::now))
    }

    /// Returns how many permits to lease next, only for callers that still wait.
    fn wanted(&mut self) -> usize {
        self.waiters.retain(|waiter| !waiter.is_closed());
        let n_without = self.waiters.len().saturating_sub(self.leased.len());
        n_without.min(self.pace.permits_max(self.load.learnt()))
    }

    /// Takes a lease that was requested at this instant.
    fn granted(&mut self, lease: Lease, asked_at: Instant) {
        let answered = Instant::now();
        self.pace.answered(answered - asked_at);
        self.load.leased(&lease);
        // A process that was suspended meanwhile would take expired permits for valid ones.
        if answered - asked_at < SLOW {
            self.leased.extend(lease.leased(answered));
        }
    }

    /// Hands the first permit that has not expired to the first caller that still waits.
    fn serve(&mut self) {
        let now = Instant::now();
        while self.leased.front().is_some_and(|permit| permit.until < now) {
            self.leased.pop_front();
        }
        if self.leased.front().is_none_or(|permit| permit.due > now) {
            return;
        }
        while let Some(waiter) = self.waiters.pop_front() {
            let granted_at = self.leased[0].granted_at;
            if waiter.send(Permit { granted_at }).is_ok() {
                self.leased.pop_front();
                return self.load.served();
            }
        }
    }
}
