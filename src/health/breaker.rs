//! Holds calls back while they could do nothing: a target that denies or fails them all, a ledger that takes no ends.
//!
//! A [`Breaker`] belongs to one target and operation. While it is open one call at a time goes through as a probe; an
//! answer closes it. A [`Dependency`] fails for as long as somebody tries in vain. Nothing here decides what a job does
//! meanwhile: it waits or is parked, as the worker sees fit.

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

/// Calls of a target that fail in a row before it counts as an outage: where a fifth of the calls fails at random, as
/// many in a row come once in 10^14 calls.
const OUTAGE_FAILURES: u32 = 20;

/// What keeps a target from answering.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// It denies calls: our credentials do not work.
    Auth,
    /// It fails calls.
    Outage,
}

/// Why a breaker is open.
#[derive(Clone, Debug)]
pub struct Open {
    /// What sort of trouble it is.
    pub cause: Cause,
    /// What the last call met.
    pub reason: String,
    /// Since when it is open.
    pub since: Instant,
    probe_at: Instant,
    is_probing: bool,
    /// No call of its own told: the target's credentials do not work, whatever is called.
    is_presumed: bool,
}

/// The breaker of one target and operation; clones share it.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<SharedBreaker>);

#[derive(Debug)]
struct SharedBreaker {
    /// What the logs call it.
    name: String,
    probe_every: Duration,
    state: Mutex<BreakerState>,
    changes: Changes,
}

#[derive(Debug, Default)]
struct BreakerState {
    open: Option<Open>,
    failures_in_a_row: u32,
    /// When the last call began that was answered.
    answered: Option<Instant>,
}

/// Whether a call may be made now.
#[derive(Debug)]
pub enum Pass {
    /// It may.
    Free,
    /// It may, to see whether the trouble is over.
    Probe(Probe),
    /// It may not; from the instant on, if there is one, it may be a probe.
    Closed(Option<Instant>),
}

/// The right to make the one call that goes through; dropping it sets the time of the next.
#[derive(Debug)]
pub struct Probe(Breaker);

impl Breaker {
    /// Makes a closed breaker that lets a probe through so often while it is open.
    pub fn new(name: String, probe_every: Duration, changes: Changes) -> Self {
        Self(Arc::new(SharedBreaker { name, probe_every, state: Mutex::default(), changes }))
    }

    /// Says whether a call may be made now; a probe is promised to one caller at a time.
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

    /// Why it is open, if it is.
    pub fn open(&self) -> Option<Open> {
        self.lock().open.clone()
    }

    /// From when on a probe may be made; none where it is closed, or while one is under way.
    pub fn probe_at(&self) -> Option<Instant> {
        self.lock().open.as_ref().filter(|open| !open.is_probing).map(|open| open.probe_at)
    }

    /// Notes that a call that began at this instant was answered, well or not: the target works.
    pub fn answered(&self, began: Instant) {
        let mut state = self.lock();
        state.failures_in_a_row = 0;
        state.answered = state.answered.max(Some(began));
        // A call from before the trouble says nothing about it.
        let Some(open) = state.open.take_if(|open| began >= open.since) else { return };
        drop(state);
        info!(breaker = self.0.name, open_for = span(open.since.elapsed()), "closed: the target answers again");
        self.0.changes.notify();
    }

    /// When the last call began that was answered.
    pub fn answered_at(&self) -> Option<Instant> {
        self.lock().answered
    }

    /// Notes that a call was denied: so will be every other.
    pub fn denied(&self, reason: &str) {
        self.trip(Cause::Auth, reason, false);
    }

    /// Notes that a call could not be made, and so could no other.
    pub fn unreached(&self, reason: &str) {
        self.trip(Cause::Outage, reason, false);
    }

    /// Notes that the target's credentials do not work, without a call that told.
    pub fn presume_denied(&self, reason: &str) {
        self.trip(Cause::Auth, reason, true);
    }

    /// Notes that the target's credentials work: what was only presumed is over.
    pub fn credentials_work(&self) {
        let presumed = self.lock().open.take_if(|open| open.is_presumed);
        if presumed.is_some() {
            info!(breaker = self.0.name, "closed: the credentials work");
            self.0.changes.notify();
        }
    }

    /// Notes that a call failed on its way or at the target.
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
            warn!(breaker = self.0.name, cause = <&str>::from(cause), reason, "open: calls wait, one probes");
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
    async fn the_first_denial_opens_it_and_one_probe_goes_through_each_half_minute() {
        let breaker = breaker();
        assert!(matches!(breaker.pass(), Pass::Free));
        breaker.denied("expired");
        assert!(matches!(breaker.pass(), Pass::Closed(Some(_))));
        for _ in 0..3 {
            tokio::time::advance(PROBE_EVERY).await;
            let probe = probe(&breaker);
            assert!(matches!(breaker.pass(), Pass::Closed(None)), "a second probe beside the first");
            breaker.denied("still expired");
            drop(probe);
            assert!(matches!(breaker.pass(), Pass::Closed(Some(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_a_probe_closes_it() {
        let breaker = breaker();
        breaker.denied("expired");
        tokio::time::advance(PROBE_EVERY).await;
        let probe = probe(&breaker);
        breaker.answered(Instant::now());
        drop(probe);
        assert!(matches!(breaker.pass(), Pass::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_call_from_before_closes_nothing_also_during_a_probe() {
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
    async fn failures_open_it_only_when_no_answer_lies_between() {
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
    async fn what_was_only_presumed_ends_with_any_proof_of_the_credentials() {
        let breaker = breaker();
        breaker.presume_denied("expired");
        breaker.credentials_work();
        assert!(breaker.open().is_none());
        breaker.denied("this call is not allowed");
        breaker.credentials_work();
        assert!(breaker.open().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_leaves_room_for_the_next() {
        let breaker = breaker();
        breaker.denied("expired");
        tokio::time::advance(PROBE_EVERY).await;
        drop(probe(&breaker));
        tokio::time::advance(PROBE_EVERY).await;
        drop(probe(&breaker));
    }
}
