//! The limiters of a worker, one for each target and operation, and which of them could do with more work.

use std::collections::HashMap;
use std::sync::Arc;

use crate::job::{Name, Operation};
use crate::limiter::{Limiter, Rate};

/// The limiters; clones share them.
#[derive(Clone, Debug)]
pub struct Limiters(Arc<HashMap<(Name, Operation), Limiter>>);

impl Limiters {
    /// Puts limiters together.
    pub fn new(limiters: HashMap<(Name, Operation), Limiter>) -> Self {
        Self(Arc::new(limiters))
    }

    /// The limiter of a target's operation.
    ///
    /// # Panics
    /// Where the target is not one of ours: jobs for others never come so far.
    pub fn of(&self, target: &Name, operation: Operation) -> &Limiter {
        self.0.get(&(target.clone(), operation)).expect("every target of ours has a limiter for each operation")
    }

    /// Every limiter, with whose it is.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, Operation, &Limiter)> {
        self.0.iter().map(|((target, operation), limiter)| (target, *operation, limiter))
    }

    /// Calls a second that all quotas together allow, as they are configured.
    pub fn ceiling(&self) -> f64 {
        self.sum(Limiter::ceiling)
    }

    /// Calls a second that all quotas together allow, as it was learnt.
    pub fn learnt(&self) -> f64 {
        self.sum(Limiter::learnt)
    }

    fn sum(&self, rate: impl Fn(&Limiter) -> Rate) -> f64 {
        self.0.values().map(|limiter| rate(limiter).per_second()).sum()
    }
}
