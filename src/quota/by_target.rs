//! The permit pools of a worker, one for each target and operation, and which of them are underfed.

use std::collections::HashMap;
use std::iter::Sum;
use std::sync::Arc;

use crate::quota::permits::PermitPool;
use muster_core::job::{Name, Operation};

/// How many more jobs may wait for permits, all targets together.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many more jobs may wait.
    pub free: usize,
    /// How many permits were handed out in the last two seconds.
    pub served: usize,
}

/// The permit pools; clones share them.
#[derive(Clone, Debug)]
pub struct PermitPools {
    by_name: Arc<HashMap<(Name, Operation), PermitPool>>,
    /// Each pool once: targets of one account and region share it.
    distinct: Arc<Vec<(Operation, PermitPool)>>,
    /// The number of slots, which bounds the jobs that all pools hold together.
    slots: usize,
}

impl PermitPools {
    /// Groups permit pools whose jobs share `slots` slots.
    pub fn new(by_name: HashMap<(Name, Operation), PermitPool>, slots: usize) -> Self {
        let mut distinct: Vec<(Operation, PermitPool)> = Vec::new();
        for ((_, operation), permits) in &by_name {
            if !distinct.iter().any(|(_, known)| known.is_same_as(permits)) {
                distinct.push((*operation, permits.clone()));
            }
        }
        Self { by_name: Arc::new(by_name), distinct: Arc::new(distinct), slots }
    }

    /// Returns the permit pool of a target's operation.
    ///
    /// # Panics
    /// If the target is not configured here. Jobs for other targets are quarantined when they are received.
    pub fn of(&self, target: &Name, operation: Operation) -> &PermitPool {
        self.by_name.get(&(target.clone(), operation)).expect("every configured target has its permit pools")
    }

    /// Iterates over all permit pools, with their target and operation.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, Operation, &PermitPool)> {
        self.by_name.iter().map(|((target, operation), permits)| (target, *operation, permits))
    }

    /// Returns whether a target's operation has more jobs than it can start, or more than its share of the slots, while
    /// another one that works is underfed. Nothing makes room for CAs: they are few, and arrive as the queue drains.
    pub fn is_in_the_way(&self, target: &Name, operation: Operation, works: impl Fn(&Name, Operation) -> bool) -> bool {
        let own = self.of(target, operation);
        // Idle operations take no part.
        let share = self.slots / self.at_work().count().max(1);
        let has_enough = own.room() == 0 || own.held() > share;
        let mut others =
            self.iter().filter(|(_, operation, permits)| !operation.is_of_ca() && !permits.is_same_as(own));
        has_enough && others.any(|(name, operation, permits)| permits.is_underfed() && works(name, operation))
    }

    /// Returns how many more jobs may wait for permits. A target with too many jobs takes no room from another.
    pub fn room(&self) -> Room {
        Room { free: self.sum(PermitPool::room), served: self.sum(PermitPool::served) }
    }

    /// Returns the sum of the configured rates of all quotas with work, in calls a second.
    pub fn ceiling(&self) -> f64 {
        self.at_work().map(|permits| permits.ceiling().per_second()).sum()
    }

    /// Returns the sum of the learnt rates of all quotas with work, in calls a second.
    pub fn learnt(&self) -> f64 {
        self.at_work().map(|permits| permits.learnt().per_second()).sum()
    }

    /// Returns the pools that have work or had some recently; if there are none, those of RegisterCertificate.
    fn at_work(&self) -> impl Iterator<Item = &PermitPool> {
        let works = |permits: &PermitPool| permits.held() > 0 || permits.had_work();
        let is_idle = !self.distinct.iter().any(|(_, permits)| works(permits));
        let counts = move |operation: &Operation, permits| {
            works(permits) || (is_idle && *operation == Operation::RegisterCertificate)
        };
        self.distinct.iter().filter(move |(operation, permits)| counts(operation, permits)).map(|(_, permits)| permits)
    }

    fn sum<N: Sum>(&self, number: impl Fn(&PermitPool) -> N) -> N {
        self.distinct.iter().map(|(_, permits)| number(permits)).sum()
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::quota::permits::Gauges;
    use muster_core::rate::Rate;

    /// Returns a pool that never gets a permit.
    fn permits() -> PermitPool {
        let gauge = || prometheus::Gauge::new("learnt", "learnt").unwrap();
        let leased = prometheus::IntCounter::new("leased", "leased").unwrap();
        let rate = Rate::new(10.0).unwrap();
        let gauges = Gauges { learnt: vec![gauge()], leased };
        PermitPool::new(|_| std::future::pending(), rate, rate, gauges).0
    }

    #[tokio::test]
    async fn devices_make_room_for_devices_but_not_for_cas() {
        let target: Name = "default".parse().unwrap();
        for (other, is_in_the_way) in
            [(Operation::RegisterCertificateWithoutCA, true), (Operation::RegisterCACertificate, false)]
        {
            let (own, others) = (permits(), permits());
            let by_name = [(Operation::RegisterCertificate, own.clone()), (other, others.clone())];
            let by_name = by_name.into_iter().map(|(operation, permits)| ((target.clone(), operation), permits));
            let pools = PermitPools::new(by_name.collect(), 1000);
            let _waiting: Vec<_> = std::iter::repeat_with(|| own.wait()).take(100).collect();
            drop(others.wait());
            assert!(own.room() == 0 && others.is_underfed());
            let found = pools.is_in_the_way(&target, Operation::RegisterCertificate, |_, _| true);
            assert_eq!(found, is_in_the_way, "{other}");
        }
    }

    #[tokio::test]
    async fn only_quotas_with_work_count_for_the_backlog() {
        let target: Name = "default".parse().unwrap();
        let by_name: HashMap<_, _> =
            Operation::VARIANTS.iter().map(|&operation| ((target.clone(), operation), permits())).collect();
        let pools = PermitPools::new(by_name, 1000);
        let is_ceiling = |rate: f64| (pools.ceiling() - rate).abs() < f64::EPSILON;
        assert!(is_ceiling(10.0), "no quota has work: RegisterCertificate counts");
        let _held = pools.of(&target, Operation::RegisterCertificateWithoutCA).hold();
        assert!(is_ceiling(10.0));
        let _other = pools.of(&target, Operation::RegisterCACertificate).hold();
        assert!(is_ceiling(20.0));
    }
}
