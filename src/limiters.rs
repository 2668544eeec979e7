//! The limiters of a worker, one for each target and operation, and which of them could do with more work.

use std::collections::HashMap;
use std::iter::Sum;
use std::sync::Arc;

use crate::job::{Name, Operation};
use crate::limiter::Limiter;
use crate::slots::Room;

/// The limiters; clones share them.
#[derive(Clone, Debug)]
pub struct Limiters {
    by_name: Arc<HashMap<(Name, Operation), Limiter>>,
    /// Each limiter once: names of one account and region share it.
    distinct: Arc<Vec<Limiter>>,
    /// How many jobs one of them may hold while others lack some.
    share: usize,
}

impl Limiters {
    /// Puts limiters together whose jobs share these slots.
    pub fn new(by_name: HashMap<(Name, Operation), Limiter>, slots: usize) -> Self {
        let mut distinct: Vec<Limiter> = Vec::new();
        for limiter in by_name.values() {
            if !distinct.iter().any(|known| known.is(limiter)) {
                distinct.push(limiter.clone());
            }
        }
        let share = slots / distinct.len().max(1);
        Self { by_name: Arc::new(by_name), distinct: Arc::new(distinct), share }
    }

    /// The limiter of a target's operation.
    ///
    /// # Panics
    /// Where the target is not one of ours: jobs for others never come so far.
    pub fn of(&self, target: &Name, operation: Operation) -> &Limiter {
        self.by_name.get(&(target.clone(), operation)).expect("every target of ours has a limiter for each operation")
    }

    /// Every limiter, with whose it is.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, Operation, &Limiter)> {
        self.by_name.iter().map(|((target, operation), limiter)| (target, *operation, limiter))
    }

    /// Says whether a target's operation has more jobs than it can start or its share of the slots, while another one that
    /// works lacks some.
    pub fn is_in_the_way(&self, target: &Name, operation: Operation, works: impl Fn(&Name, Operation) -> bool) -> bool {
        let own = self.of(target, operation);
        let has_enough = own.room() == 0 || own.held() > self.share;
        let mut others = self.iter().filter(|(_, _, limiter)| !limiter.is(own));
        has_enough && others.any(|(name, its, limiter)| limiter.is_hungry() && works(name, its))
    }

    /// How many more jobs may wait for tokens. A target that has too many takes nothing from another's room.
    pub fn room(&self) -> Room {
        Room { free: self.sum(Limiter::room), served: self.sum(Limiter::served) }
    }

    /// Calls a second that all quotas together allow, as they are configured.
    pub fn ceiling(&self) -> f64 {
        self.sum(|limiter| limiter.ceiling().per_second())
    }

    /// Calls a second that all quotas together allow, as it was learnt.
    pub fn learnt(&self) -> f64 {
        self.sum(|limiter| limiter.learnt().per_second())
    }

    fn sum<N: Sum>(&self, number: impl Fn(&Limiter) -> N) -> N {
        self.distinct.iter().map(number).sum()
    }
}
