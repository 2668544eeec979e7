//! What the ledger, the settings and a measurement say about a batch, before a report says it.

use std::time::Duration;

use crate::config::Config;
use crate::ledger::BatchStatus;
use crate::ledger::batch::FailureExample;
use crate::ledger::rate_limit::RateReport;
use crate::operator::situation::{Obstacle, Situation};
use muster_core::job::{Name, Operation};

/// Outcomes between two readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// How many.
    pub ends: u64,
    /// The time between the readings.
    pub time: Duration,
}

/// What a report is made of.
pub(super) struct StatusFacts<'a> {
    /// The batch's name.
    pub name: &'a Name,
    /// Its counters.
    pub batch: &'a BatchStatus,
    /// What is going on in the fleet.
    pub situation: &'a Situation,
    /// How long the queues have been empty.
    pub queues_empty_for: Option<Duration>,
    /// What happened between two readings of them.
    pub measured: Option<Measured>,
    /// One failed or parked certificate for each code.
    pub examples: Vec<FailureExample>,
    /// The operations of targets that the batch has ends for.
    pub operations: Vec<(String, Operation)>,
    /// What the ledger knows of their quotas.
    pub rates: Vec<RateReport>,
    /// The settings, for quotas that no worker has opened yet.
    pub config: &'a Config,
}

impl StatusFacts<'_> {
    /// The targets that the batch has outcomes for.
    pub(super) fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.operations.iter().map(|(target, _)| target.clone()).collect();
        targets.dedup();
        targets
    }

    /// What stops or slows this batch.
    pub(super) fn obstacles(&self) -> Vec<Obstacle> {
        let holds: Vec<_> = self.batch.waiting.iter().map(|waiting| &waiting.hold).collect();
        self.situation.obstacles_of(self.name, &self.targets(), &holds)
    }
}
