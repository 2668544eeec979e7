//! Serves those who wait for a token, in order, from the places that were leased.
//!
//! One task: a place that comes due wakes it and one waiter, not all of them. Places are leased only for waiters who are
//! there, at most one lease ahead, and a place that was not used in its time is thrown away.

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

/// Somebody who waits.
pub(super) type Waiter = oneshot::Sender<Permit>;

/// Who waits, and the places that there are for them.
pub(super) struct WaitingLine {
    waiters: VecDeque<Waiter>,
    leased: VecDeque<LeasedPermit>,
    pace: LeasePace,
    load: Arc<Load>,
}

/// A lease that was asked for, and when.
struct PendingLease<F> {
    at: Instant,
    answer: Pin<Box<F>>,
}

/// Serves the queue with what `lease` gets, which tries until it has something; ends when nobody can come any more.
pub(super) async fn dispense<F>(
    mut queue: mpsc::UnboundedReceiver<Waiter>,
    mut line: WaitingLine,
    guard: Guard,
    lease: impl Fn(usize) -> F,
) where
    F: Future<Output = Lease>,
{
    let mut asked: Option<PendingLease<F>> = None;
    loop {
        if asked.is_none() && line.ask_at().is_some_and(|at| at <= Instant::now()) {
            let n = line.wanted();
            asked = (n > 0).then(|| PendingLease { at: Instant::now(), answer: Box::pin(lease(n)) });
        }
        tokio::select! {
            waiter = queue.recv() => match waiter {
                Some(waiter) => line.waiters.push_back(waiter),
                None => return,
            },
            (lease, at) = answer(&mut asked) => {
                asked = None;
                line.granted(lease, at);
            }
            () = sleep_until(line.serve_at()) => {
                guard.pass().await;
                line.serve();
            }
            () = sleep_until(line.ask_at()), if asked.is_none() => {}
        }
    }
}

/// What was answered, and when it was asked; never where nothing was asked.
async fn answer<F: Future<Output = Lease>>(asked: &mut Option<PendingLease<F>>) -> (Lease, Instant) {
    match asked {
        Some(asked) => (asked.answer.as_mut().await, asked.at),
        None => std::future::pending().await,
    }
}

impl WaitingLine {
    /// Nobody waits yet.
    pub(super) fn new(load: Arc<Load>) -> Self {
        Self { waiters: VecDeque::new(), leased: VecDeque::new(), pace: LeasePace::new(), load }
    }

    /// When the first waiter is served.
    fn serve_at(&self) -> Option<Instant> {
        self.leased.front().filter(|_| !self.waiters.is_empty()).map(|permit| permit.due)
    }

    /// When the next lease is asked for; none while there are places for all.
    fn ask_at(&self) -> Option<Instant> {
        if self.waiters.len() <= self.leased.len() {
            return None;
        }
        let last = self.leased.back().map(|permit| permit.due);
        Some(last.and_then(|last| last.checked_sub(self.pace.lead())).unwrap_or_else(Instant::now))
    }

    /// How many places are leased next: only for those who still wait.
    fn wanted(&mut self) -> usize {
        self.waiters.retain(|waiter| !waiter.is_closed());
        let n_without = self.waiters.len().saturating_sub(self.leased.len());
        n_without.min(self.pace.places_max(self.load.learnt()))
    }

    /// Takes a lease that was asked for at this instant.
    fn granted(&mut self, lease: Lease, asked_at: Instant) {
        let answered = Instant::now();
        self.pace.answered(answered - asked_at);
        self.load.leased(&lease);
        // A process that stood still meanwhile would take old places for new ones.
        if answered - asked_at < SLOW {
            self.leased.extend(lease.leased(answered));
        }
    }

    /// Gives the first place that is not over to the first who still waits.
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
