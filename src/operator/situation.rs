//! The state of the whole fleet, from the ledger alone: what stops or slows the work, and how to fix it.
//!
//! `muster status` and `muster doctor` show the same. Nothing here is a guess: what no worker reported
//! and the ledger does not hold is shown as unknown.

mod obstacle;
mod troubles;

use std::time::Duration;

use crate::ledger::facts::FleetFacts;
use crate::ledger::hold::OpenHold;
use crate::ledger::queue_readings::{FRESH, QueueReport};
use crate::ledger::rate_limit::Throttle;
use crate::ledger::workers::{ALIVE_FOR, WorkerReport};
use crate::ledger::{Ledger, LedgerError};
use muster_core::format::{counted, grouped, printable, span};
use muster_core::hold::{HoldKey, HoldKind};
use muster_core::job::Name;

pub use obstacle::{Obstacle, Severity};

/// Age after which a queue reading is late: workers read every 15 s, and a call takes up to 10 s.
const UNREAD_AFTER: Duration = Duration::from_secs(30);

/// Most holds of one kind that are listed individually.
const NAMED_MAX: usize = 5;

/// What the ledger knows about the fleet.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// The workers that reported in the last day, the latest first.
    pub workers: Vec<WorkerReport>,
    /// The open holds.
    pub holds: Vec<OpenHold>,
    /// The last reading of each queue.
    pub queues: Vec<QueueReport>,
    /// The quotas that AWS throttles.
    pub throttles: Vec<Throttle>,
    /// Counts over the whole ledger.
    pub facts: FleetFacts,
}

impl Situation {
    /// Reads the situation from the ledger.
    pub async fn read(ledger: &Ledger) -> Result<Self, LedgerError> {
        Ok(Self {
            workers: ledger.workers().await?,
            holds: ledger.open_holds().await?,
            queues: ledger.queue_reports().await?,
            throttles: ledger.throttles().await?,
            facts: ledger.facts().await?,
        })
    }

    /// Lists what stops the work, then what slows it, then what needs attention.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        obstacles.extend(self.no_worker());
        obstacles.extend(self.paused());
        obstacles.extend(troubles::reported(&self.alive().collect::<Vec<_>>()));
        obstacles.extend(self.unread_queue());
        obstacles.extend(self.throttles.iter().map(Obstacle::throttled));
        obstacles.extend(self.held());
        obstacles.extend(self.silent_workers());
        obstacles.extend(self.dead_and_quarantined());
        obstacles.sort_by_key(|obstacle| obstacle.severity);
        obstacles
    }

    /// Returns the obstacles of one batch with these targets, whose parked jobs wait for `holds`. A batch without an
    /// outcome has no known targets yet; the obstacles of all targets count then.
    pub fn obstacles_of(&self, batch: &Name, targets: &[String], holds: &[&HoldKey]) -> Vec<Obstacle> {
        let is_its_target = |target: &str| targets.is_empty() || targets.iter().any(|its| its == target);
        let is_its_hold = |hold: &HoldKey| {
            holds.contains(&hold)
                || [HoldKey::pause_all(), HoldKey::pause_batch(batch), HoldKey::batch(batch)].contains(hold)
                || hold.paused_target().is_some_and(is_its_target)
        };
        // `target:operation`.
        let is_its_call = |what: &str| what.rsplit_once(':').is_none_or(|(target, _)| is_its_target(target));
        let mut scoped = self.clone();
        scoped.holds.retain(|open| is_its_hold(&open.hold));
        scoped.throttles.retain(|throttle| is_its_target(&throttle.target));
        scoped.workers.iter_mut().for_each(|worker| worker.troubles.retain(|trouble| is_its_call(&trouble.what)));
        scoped.obstacles()
    }

    /// Describes the fleet in one line, with the age of whatever is not current.
    pub fn summary(&self) -> String {
        let workers = counted(self.alive().count() as u64, "worker", "workers");
        let alive_for = span(ALIVE_FOR);
        let FleetFacts { quarantined, missing, parked, .. } = &self.facts;
        let parked: u64 = parked.values().sum();
        let missing = missing.map_or_else(|| "missing not yet known".to_owned(), |n| format!("{} missing", grouped(n)));
        let (parked, quarantined) = (grouped(parked), grouped(*quarantined));
        format!(
            "{workers} reported in the last {alive_for}; {}; {parked} parked, {missing}, {quarantined} quarantined",
            self.queues_in_words()
        )
    }

    /// Returns the age of the oldest queue reading.
    pub fn read_ago(&self) -> Option<Duration> {
        self.queues.iter().map(|queue| queue.read_ago).max()
    }

    /// Describes what the queues hold, with the age of the reading.
    fn queues_in_words(&self) -> String {
        let Some(n) = self.n_messages() else { return "queue contents unknown".to_owned() + &self.stalest_reading() };
        let dead = self.n_dead();
        let dead =
            dead.map_or_else(|| "dead letters unknown".to_owned(), |n| counted(n, "dead letter", "dead letters"));
        let ago = span(self.read_ago().unwrap_or_default());
        format!("{} queued, {dead}, read {ago} ago", counted(n, "message", "messages"))
    }

    /// Returns the workers that reported within [`ALIVE_FOR`].
    pub fn alive(&self) -> impl Iterator<Item = &WorkerReport> {
        self.workers.iter().filter(|worker| worker.is_alive())
    }

    /// Returns how many messages wait in all queues. `None`: unknown, because a queue has no reading within [`FRESH`].
    pub fn n_messages(&self) -> Option<u64> {
        self.fresh_sum(|queue| queue.n_messages)
    }

    /// Returns how many messages the dead-letter queues contain. `None`: unknown.
    pub fn n_dead(&self) -> Option<u64> {
        self.fresh_sum(|queue| queue.n_dead)
    }

    fn fresh_sum(&self, count: impl Fn(&QueueReport) -> Option<u64>) -> Option<u64> {
        if self.queues.is_empty() {
            return None;
        }
        self.queues.iter().map(|queue| count(queue).filter(|_| queue.read_ago < FRESH)).sum()
    }

    /// Describes the queue with the oldest reading.
    fn stalest_reading(&self) -> String {
        let stalest = self.queues.iter().max_by_key(|queue| queue.read_ago);
        stalest
            .map_or_else(String::new, |it| format!(" ({} last read {} ago)", printable(&it.queue), span(it.read_ago)))
    }

    /// Reports that workers run, but none has read a queue for too long.
    fn unread_queue(&self) -> Option<Obstacle> {
        let newest = self.queues.iter().map(|queue| queue.read_ago).min()?;
        let has_had_time = self.alive().any(|worker| worker.started_ago > UNREAD_AFTER);
        (has_had_time && newest > UNREAD_AFTER).then(|| Obstacle::unread_queue(newest))
    }

    fn no_worker(&self) -> Option<Obstacle> {
        // A worker of an older version reads queues but does not report itself.
        let is_older = |queue: &QueueReport| queue.n_messages.is_none() && queue.read_ago < FRESH;
        if self.alive().next().is_some() || self.queues.iter().any(is_older) {
            return None;
        }
        Some(Obstacle::no_worker(self.workers.first()))
    }

    fn paused(&self) -> Option<Obstacle> {
        let hold = self.holds.iter().find(|hold| hold.hold == HoldKey::pause_all())?;
        Some(Obstacle::held(hold, Severity::Stopped))
    }

    /// Reports holds other than a pause of everything. Lists the first of each kind and counts the rest.
    fn held(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        for kind in [HoldKind::Pause, HoldKind::Target, HoldKind::Batch, HoldKind::Issuer] {
            let is_listed = |hold: &&OpenHold| hold.hold.kind() == Some(kind) && hold.hold != HoldKey::pause_all();
            let holds: Vec<_> = self.holds.iter().filter(is_listed).collect();
            obstacles.extend(holds.iter().take(NAMED_MAX).map(|hold| Obstacle::held(hold, Severity::Partial)));
            obstacles.extend(Obstacle::more_holds(holds.len().saturating_sub(NAMED_MAX), kind));
        }
        obstacles
    }

    /// Reports workers that were killed or lost the ledger while others continue.
    fn silent_workers(&self) -> Vec<Obstacle> {
        if self.alive().next().is_none() {
            return vec![];
        }
        self.workers.iter().filter(|worker| !worker.is_alive()).filter_map(Obstacle::silent_worker).collect()
    }

    fn dead_and_quarantined(&self) -> impl Iterator<Item = Obstacle> {
        let dead = self.n_dead().filter(|&n| n > 0).map(Obstacle::dead_letters);
        let quarantined = Some(self.facts.quarantined).filter(|&n| n > 0).map(Obstacle::quarantined);
        dead.into_iter().chain(quarantined)
    }
}

#[cfg(test)]
mod tests;
