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
    distinct: Arc<Vec<(Operation, Limiter)>>,
    /// How many jobs all of them hold at most.
    slots: usize,
}

impl Limiters {
    /// Puts limiters together whose jobs share these slots.
    pub fn new(by_name: HashMap<(Name, Operation), Limiter>, slots: usize) -> Self {
        let mut distinct: Vec<(Operation, Limiter)> = Vec::new();
        for ((_, operation), limiter) in &by_name {
            if !distinct.iter().any(|(_, known)| known.is(limiter)) {
                distinct.push((*operation, limiter.clone()));
            }
        }
        Self { by_name: Arc::new(by_name), distinct: Arc::new(distinct), slots }
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
        // Idle operations take no part.
        let share = self.slots / self.at_work().count().max(1);
        let has_enough = own.room() == 0 || own.held() > share;
        let mut others = self.iter().filter(|(_, _, limiter)| !limiter.is(own));
        has_enough && others.any(|(name, its, limiter)| limiter.is_hungry() && works(name, its))
    }

    /// How many more jobs may wait for tokens. A target that has too many takes nothing from another's room.
    pub fn room(&self) -> Room {
        Room { free: self.sum(Limiter::room), served: self.sum(Limiter::served) }
    }

    /// Calls a second that the quotas together allow for which there is work, as they are configured.
    pub fn ceiling(&self) -> f64 {
        self.at_work().map(|limiter| limiter.ceiling().per_second()).sum()
    }

    /// Calls a second that the quotas together allow for which there is work, as it was learnt.
    pub fn learnt(&self) -> f64 {
        self.at_work().map(|limiter| limiter.learnt().per_second()).sum()
    }

    /// The limiters that have work or had some a moment ago; where there is none, those of the usual operation.
    fn at_work(&self) -> impl Iterator<Item = &Limiter> {
        let works = |limiter: &Limiter| limiter.held() > 0 || limiter.had_work();
        let is_idle = !self.distinct.iter().any(|(_, limiter)| works(limiter));
        let counts =
            move |its: &Operation, limiter| works(limiter) || (is_idle && *its == Operation::RegisterCertificate);
        self.distinct.iter().filter(move |(its, limiter)| counts(its, limiter)).map(|(_, limiter)| limiter)
    }

    fn sum<N: Sum>(&self, number: impl Fn(&Limiter) -> N) -> N {
        self.distinct.iter().map(|(_, limiter)| number(limiter)).sum()
    }
}
