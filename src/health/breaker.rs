//! Circuit breakers: block calls that cannot succeed, because a target denies or fails them all or a dependency is
//! down.
//!
//! A [`Breaker`] belongs to one target and operation. While it is open, one call at a time is let through as a
//! half-open probe; an answer closes it. A [`Dependency`] is open for as long as a caller retries without success.
//! Nothing here decides what a job does meanwhile: whether it waits or is parked is up to the worker.

mod changes;
mod dependency;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};
use tokio::time::Instant;
use tracing::{info, warn};

pub use changes::Changes;
pub use dependency::{Dependency, Failing};

use muster_core::format::span;

/// Consecutive failed calls of a target that count as an outage. If a fifth of the calls fails at random, a run of 20
/// has a probability of 10^-14.
const OUTAGE_FAILURES: u32 = 20;

/// Why a target's breaker is open.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The target denies calls: our credentials do not work.
    Auth,
    /// Calls to the target fail.
    Outage,
}

/// The state of an open breaker.
#[derive(Clone, Debug)]
pub struct Open {
    /// Why it is open.
    pub cause: Cause,
    /// The error of the last call.
    pub reason: String,
    /// When it opened.
    pub since: Instant,
    probe_at: Instant,
    is_probing: bool,
    /// It was opened without a call of its own: the target's credentials do not work for any operation.
    is_presumed: bool,
}

/// The breaker of one target and operation; clones share it.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<SharedBreaker>);

#[derive(Debug)]
struct SharedBreaker {
    /// Its name in logs.
    name: String,
    probe_every: Duration,
    state: Mutex<BreakerState>,
    changes: Changes,
}

#[derive(Debug, Default)]
struct BreakerState {
    open: Option<Open>,
    failures_in_a_row: u32,
    /// The latest start of a call that was answered.
    answered: Option<Instant>,
}

/// Whether a call may be made now.
#[derive(Debug)]
pub enum Pass {
    /// It may: the breaker is closed.
    Free,
    /// It may, as a half-open probe.
    Probe(Probe),
    /// It may not. From the instant on, if given, a probe may be made; without one, a probe is in progress.
    Closed(Option<Instant>),
}

/// The right to make the one probe of an open breaker; dropping it schedules the next one.
#[derive(Debug)]
pub struct Probe(Breaker);

impl Breaker {
    /// Creates a closed breaker that allows a probe every `probe_every` while it is open.
    pub fn new(name: String, probe_every: Duration, changes: Changes) -> Self {
        Self(Arc::new(SharedBreaker { name, probe_every, state: Mutex::default(), changes }))
    }

    /// Returns whether a call may be made now; only one caller at a time gets the probe.
    pub fn pass(&self) -> Pass {
        let mut state = self.lock();
        match &mut state.open {
            None => Pass::Free,
            Some(open) if open.is_probing => Pass::Closed(None),
            Some(open) if open.probe_at > Instant::now() => Pass::Closed(Some(open.probe_at)),
            Some(open) => {
                open.is_probing = true;
                Pass::Probe(Probe(self.clone()))
            }
        }
    }

    /// Returns its open state, or `None` if it is closed.
    pub fn open(&self) -> Option<Open> {
        self.lock().open.clone()
    }

    /// Returns when a probe may be made, or `None` if the breaker is closed or a probe is in progress.
    pub fn probe_at(&self) -> Option<Instant> {
        self.lock().open.as_ref().filter(|open| !open.is_probing).map(|open| open.probe_at)
    }

    /// Notes that a call that began at this instant was answered, successfully or not: the target works.
    pub fn answered(&self, began: Instant) {
        let mut state = self.lock();
        state.failures_in_a_row = 0;
        state.answered = state.answered.max(Some(began));
        // A call that began before the breaker opened says nothing about the trouble.
        let Some(open) = state.open.take_if(|open| began >= open.since) else { return };
        drop(state);
        info!(breaker = self.0.name, open_for = span(open.since.elapsed()), "closed: the target answers again");
        self.0.changes.notify();
    }

    /// Returns the latest start of a call that was answered.
    pub fn answered_at(&self) -> Option<Instant> {
        self.lock().answered
    }

    /// Notes that a call was denied; opens at once, because every other call would be denied too.
    pub fn denied(&self, reason: &str) {
        self.trip(Cause::Auth, reason, false);
    }

    /// Notes that a call could not be made; opens at once, because no other call could be made either.
    pub fn unreached(&self, reason: &str) {
        self.trip(Cause::Outage, reason, false);
    }

    /// Notes that the target's credentials do not work, although no call of this operation was denied.
    pub fn presume_denied(&self, reason: &str) {
        self.trip(Cause::Auth, reason, true);
    }

    /// Notes that the target's credentials work; closes the breaker if it was only presumed to be denied.
    pub fn credentials_work(&self) {
        let presumed = self.lock().open.take_if(|open| open.is_presumed);
        if presumed.is_some() {
            info!(breaker = self.0.name, "closed: the credentials work");
            self.0.changes.notify();
        }
    }

    /// Notes that a call failed on the way or at the target; opens after 20 failures in a row.
    pub fn failed(&self, reason: &str) {
        let mut state = self.lock();
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        let is_outage = state.failures_in_a_row >= OUTAGE_FAILURES;
        drop(state);
        if is_outage {
            self.trip(Cause::Outage, reason, false);
        }
    }

    fn trip(&self, cause: Cause, reason: &str, is_presumed: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        let is_new = state.open.as_ref().is_none_or(|open| open.cause != cause);
        let probe_at = now + self.0.probe_every;
        let opened = Open { cause, reason: String::new(), since: now, probe_at, is_probing: false, is_presumed };
        let open = state.open.get_or_insert(opened);
        (open.cause, open.reason, open.is_presumed) = (cause, reason.to_owned(), is_presumed);
        drop(state);
        if is_new {
            warn!(breaker = self.0.name, cause = <&str>::from(cause), reason, "open: calls wait, except probes");
            self.0.changes.notify();
        }
    }

    fn end_probe(&self) {
        let mut state = self.lock();
        if let Some(open) = &mut state.open {
            (open.is_probing, open.probe_at) = (false, Instant::now() + self.0.probe_every);
        }
        drop(state);
        self.0.changes.notify();
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.end_probe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE_EVERY: Duration = Duration::from_secs(30);

    fn breaker() -> Breaker {
        Breaker::new("default".into(), PROBE_EVERY, Changes::default())
    }

    fn probe(breaker: &Breaker) -> Probe {
        match breaker.pass() {
            Pass::Probe(probe) => probe,
            other => panic!("no probe but {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_opens_the_breaker_and_allows_one_probe_per_interval() {
        let breaker = breaker();
        assert!(matches!(breaker.pass(), Pass::Free));
        breaker.denied("expired");
        assert!(matches!(breaker.pass(), Pass::Closed(Some(_))));
        for _ in 0..3 {
            tokio::time::advance(PROBE_EVERY).await;
            let probe = probe(&breaker);
            assert!(matches!(breaker.pass(), Pass::Closed(None)), "a second probe during the first");
            breaker.denied("still expired");
            drop(probe);
            assert!(matches!(breaker.pass(), Pass::Closed(Some(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_a_probe_closes_the_breaker() {
        let breaker = breaker();
        breaker.denied("expired");
        tokio::time::advance(PROBE_EVERY).await;
        let probe = probe(&breaker);
        breaker.answered(Instant::now());
        drop(probe);
        assert!(matches!(breaker.pass(), Pass::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_an_earlier_call_never_closes_the_breaker() {
        let breaker = breaker();
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        breaker.denied("expired");
        breaker.answered(before);
        assert!(breaker.open().is_some());
        tokio::time::advance(PROBE_EVERY).await;
        let _probe = probe(&breaker);
        breaker.answered(before);
        assert!(breaker.open().is_some(), "the probe has not been answered");
    }

    #[tokio::test]
    async fn only_consecutive_failures_open_the_breaker() {
        let breaker = breaker();
        for _ in 0..3 {
            (1..OUTAGE_FAILURES).for_each(|_| breaker.failed("503"));
            assert!(breaker.open().is_none());
            breaker.answered(Instant::now());
        }
        (0..OUTAGE_FAILURES).for_each(|_| breaker.failed("503"));
        assert_eq!(breaker.open().unwrap().cause, Cause::Outage);
    }

    #[tokio::test]
    async fn working_credentials_close_a_presumed_denial() {
        let breaker = breaker();
        breaker.presume_denied("expired");
        breaker.credentials_work();
        assert!(breaker.open().is_none());
        breaker.denied("this call is not allowed");
        breaker.credentials_work();
        assert!(breaker.open().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_allows_the_next_one() {
        let breaker = breaker();
        breaker.denied("expired");
        tokio::time::advance(PROBE_EVERY).await;
        drop(probe(&breaker));
        tokio::time::advance(PROBE_EVERY).await;
        drop(probe(&breaker));
    }
}
