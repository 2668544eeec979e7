//! The inputs of a batch report, from the ledger, the settings and a measurement.

use std::time::Duration;

use crate::config::Config;
use crate::ledger::BatchStatus;
use crate::ledger::batch::FailureExample;
use crate::ledger::rate_limit::RateReport;
use crate::operator::situation::{Obstacle, Situation};
use muster_core::job::{Name, Operation};

/// Outcomes between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Number of outcomes.
    pub n_outcomes: u64,
    /// The time between the readings.
    pub time: Duration,
}

/// The inputs of a report.
pub struct StatusFacts<'a> {
    /// The batch's name.
    pub name: &'a Name,
    /// Its counters.
    pub batch: &'a BatchStatus,
    /// The state of the fleet.
    pub situation: &'a Situation,
    /// How long the queues have been empty.
    pub queues_empty_for: Option<Duration>,
    /// Outcomes between two readings of the counters.
    pub measured: Option<Measured>,
    /// One failed or parked certificate for each code.
    pub examples: Vec<FailureExample>,
    /// The targets and operations that the batch has outcomes for.
    pub operations: Vec<(String, Operation)>,
    /// The ledger's rates for them.
    pub rates: Vec<RateReport>,
    /// The settings, for quotas that no worker has opened yet.
    pub config: &'a Config,
}

impl StatusFacts<'_> {
    /// Returns the targets that the batch has outcomes for.
    pub fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.operations.iter().map(|(target, _)| target.clone()).collect();
        targets.dedup();
        targets
    }

    /// Returns what stops or slows this batch.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let holds: Vec<_> = self.batch.waiting.iter().map(|waiting| &waiting.hold).collect();
        self.situation.obstacles_of(self.name, &self.targets(), &holds)
    }
}
