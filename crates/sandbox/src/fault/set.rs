//! The active faults, and which calls they strike.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Fault, FaultError, Strike};
use crate::operation::ApiOperation;

/// Identifies a fault, so that it can be cleared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FaultId(u64);

/// An active fault, and how often it has struck.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveFault {
    /// The id that clears it.
    pub id: FaultId,
    /// The fault as it was set.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many calls it has struck so far.
    pub strikes: u64,
}

/// The faults of one sandbox.
#[derive(Default)]
pub struct Faults {
    inner: Mutex<FaultState>,
}

#[derive(Default)]
struct FaultState {
    entries: Vec<FaultEntry>,
    n_set: u64,
}

struct FaultEntry {
    id: FaultId,
    fault: Fault,
    until: Option<Instant>,
    random: fastrand::Rng,
    strikes: u64,
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Faults {
    /// Activates a fault from now on.
    ///
    /// # Errors
    /// The fault is invalid: see [`FaultError`].
    pub fn set(&self, fault: Fault) -> Result<FaultId, FaultError> {
        self.set_at(fault, Instant::now())
    }

    fn set_at(&self, fault: Fault, now: Instant) -> Result<FaultId, FaultError> {
        fault.check()?;
        let inner = &mut *self.inner();
        inner.n_set += 1;
        let id = FaultId(inner.n_set);
        let until = fault.seconds.map(|seconds| now + Duration::from_secs_f64(seconds));
        inner.entries.push(FaultEntry { id, until, random: fastrand::Rng::with_seed(fault.seed), strikes: 0, fault });
        Ok(id)
    }

    /// Clears one fault; returns false if it does not exist.
    pub fn clear(&self, id: FaultId) -> bool {
        let inner = &mut *self.inner();
        let before = inner.entries.len();
        inner.entries.retain(|entry| entry.id != id);
        inner.entries.len() < before
    }

    /// Clears every fault.
    pub fn clear_all(&self) {
        self.inner().entries.clear();
    }

    /// Returns the faults that have not been cleared, used up or not, oldest first.
    pub fn list(&self) -> Vec<ActiveFault> {
        let inner = self.inner();
        let entries = inner.entries.iter();
        let active =
            |entry: &FaultEntry| ActiveFault { id: entry.id, fault: entry.fault.clone(), strikes: entry.strikes };
        entries.map(active).collect()
    }

    /// Returns what strikes a call that arrived at `now`. If several faults replace the answer, the one set first wins.
    pub(crate) fn draw(&self, operation: ApiOperation, now: Instant) -> Strike {
        let mut strike = Strike::default();
        for entry in &mut self.inner().entries {
            if entry.fault.operation == operation && entry.strike(now) {
                strike.add(&entry.fault.effect, operation, &mut entry.random);
            }
        }
        strike
    }

    fn inner(&self) -> MutexGuard<'_, FaultState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultEntry {
    /// Decides whether this call is struck, and counts it if so.
    fn strike(&mut self, now: Instant) -> bool {
        let is_used_up = self.fault.calls.is_some_and(|calls| self.strikes >= calls);
        let is_over = self.until.is_some_and(|until| now >= until);
        if is_used_up || is_over || self.fault.probability.is_some_and(|share| self.random.f64() >= share) {
            return false;
        }
        self.strikes += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Effect, Ending};

    const OPERATION: ApiOperation = ApiOperation::RegisterCertificate;

    /// Returns how many of `n` calls are struck.
    fn struck(faults: &Faults, n: usize, now: Instant) -> usize {
        (0..n).filter(|_| faults.draw(OPERATION, now).ending.is_some()).count()
    }

    #[test]
    fn a_fault_for_n_calls_strikes_n_calls() {
        let (faults, now) = (Faults::default(), Instant::now());
        faults.set_at(Fault::new(OPERATION, Effect::Throttle).calls(3), now).unwrap();
        assert!(faults.draw(ApiOperation::ListCertificates, now).ending.is_none(), "another operation");
        assert_eq!(struck(&faults, 10, now), 3);
        assert_eq!(faults.list()[0].strikes, 3);
    }

    #[test]
    fn a_fault_with_a_duration_ends_on_time() {
        let (faults, now) = (Faults::default(), Instant::now());
        faults.set_at(Fault::new(OPERATION, Effect::Throttle).during(Duration::from_secs(2)), now).unwrap();
        assert_eq!(struck(&faults, 5, now + Duration::from_millis(1_999)), 5);
        assert_eq!(struck(&faults, 5, now + Duration::from_secs(2)), 0);
    }

    #[test]
    fn the_same_seed_strikes_the_same_calls() {
        let now = Instant::now();
        let pattern = |seed| {
            let faults = Faults::default();
            faults.set_at(Fault::new(OPERATION, Effect::Throttle).for_share(0.2, seed), now).unwrap();
            (0..1_000).map(|_| faults.draw(OPERATION, now).ending.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(pattern(1), pattern(1));
        assert_ne!(pattern(1), pattern(2));
        let n_struck = pattern(1).iter().filter(|struck| **struck).count();
        assert!((150..250).contains(&n_struck), "{n_struck} of 1000");
    }

    #[test]
    fn latencies_add_up_and_the_first_ending_wins() {
        let (faults, now) = (Faults::default(), Instant::now());
        for effect in [
            Effect::Latency { milliseconds: 200, up_to: None },
            Effect::Latency { milliseconds: 10, up_to: Some(20) },
            Effect::Reset { executed: true },
            Effect::Throttle,
        ] {
            faults.set_at(Fault::new(OPERATION, effect), now).unwrap();
        }
        let strike = faults.draw(OPERATION, now);
        assert!((210..=220).contains(&strike.latency.as_millis()), "{:?}", strike.latency);
        assert!(matches!(strike.ending, Some(Ending::Reset)) && !strike.prevents_execution);
    }

    #[test]
    fn a_cleared_fault_strikes_nothing() {
        let (faults, now) = (Faults::default(), Instant::now());
        let id = faults.set_at(Fault::new(OPERATION, Effect::Throttle), now).unwrap();
        assert!(faults.clear(id) && !faults.clear(id));
        assert_eq!(struck(&faults, 5, now), 0);
    }
}
