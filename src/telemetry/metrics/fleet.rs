//! Gauges of the whole fleet, as last read from the ledger. They are the same on every worker.
//!
//! They are absent, not 0, until the ledger has been read, and again once the last reading is too old.

use std::sync::Mutex;
use std::time::Duration;

use prometheus::IntGaugeVec;
use strum::VariantArray;
use tokio::time::Instant;

use super::maker::Maker;
use crate::ledger::facts::FleetFacts;
use muster_core::hold::HoldKind;
use muster_core::outcome::Code;

/// How long counts are shown after they were read: ten heartbeats. Older ones are removed.
const SHOWN_FOR: Duration = Duration::from_secs(30);

/// The gauges of the fleet.
#[derive(Debug)]
pub struct Fleet {
    workers_alive: IntGaugeVec,
    parked_jobs: IntGaugeVec,
    holds_open: IntGaugeVec,
    quarantined_messages: IntGaugeVec,
    batch_missing_jobs: IntGaugeVec,
    read_at: Mutex<Option<Instant>>,
}

impl Fleet {
    /// Creates the gauges, without any series yet.
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            workers_alive: make.gauges("workers_alive", "Workers that reported to the ledger in the last 12 s.", &[]),
            parked_jobs: make.gauges("parked_jobs", "Parked jobs of all batches.", &["code"]),
            holds_open: make.gauges("holds_open", "Open holds.", &["kind"]),
            quarantined_messages: make.gauges(
                "quarantined_messages",
                "Quarantined messages, counted up to 1,000,000.",
                &[],
            ),
            batch_missing_jobs: make.gauges(
                "batch_missing_jobs",
                "Announced certificates of all batches without an outcome; absent until the queues have been empty for 2 minutes.",
                &[],
            ),
            read_at: Mutex::default(),
        }
    }

    /// Shows the facts read from the ledger.
    pub fn show(&self, facts: &FleetFacts) {
        let mut read_at = self.read_at.lock().expect("nothing panics while it holds this lock");
        set(&self.workers_alive, &[], facts.workers_alive);
        set(&self.quarantined_messages, &[], facts.quarantined);
        // Unknown while messages may still be on their way.
        match facts.missing {
            Some(n) => set(&self.batch_missing_jobs, &[], n),
            None => self.batch_missing_jobs.reset(),
        }
        for code in Code::VARIANTS.iter().filter(|code| !code.status().is_outcome()) {
            let n = facts.parked.get(code.as_str()).copied().unwrap_or_default();
            set(&self.parked_jobs, &[code.as_str()], n);
        }
        for kind in HoldKind::VARIANTS.iter().map(<&str>::from) {
            set(&self.holds_open, &[kind], facts.holds.get(kind).copied().unwrap_or_default());
        }
        *read_at = Some(Instant::now());
    }

    /// Removes all gauges if they were read too long ago.
    pub fn drop_stale(&self) {
        let mut read_at = self.read_at.lock().expect("nothing panics while it holds this lock");
        if read_at.take_if(|at| at.elapsed() > SHOWN_FOR).is_some() {
            let all = [
                &self.workers_alive,
                &self.parked_jobs,
                &self.holds_open,
                &self.quarantined_messages,
                &self.batch_missing_jobs,
            ];
            all.into_iter().for_each(IntGaugeVec::reset);
        }
    }
}

fn set(gauge: &IntGaugeVec, labels: &[&str], n: u64) {
    gauge.with_label_values(labels).set(i64::try_from(n).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_are_absent_until_read_and_once_stale() {
        let make = Maker(Registry::new());
        let fleet = Fleet::new(&make);
        let n_families = || make.0.gather().len();
        assert_eq!(n_families(), 0);
        fleet.show(&FleetFacts { missing: Some(0), ..FleetFacts::default() });
        fleet.drop_stale();
        assert_eq!(n_families(), 5);
        fleet.show(&FleetFacts::default());
        assert_eq!(n_families(), 4, "the number of missing certificates is unknown");
        tokio::time::advance(SHOWN_FOR * 2).await;
        fleet.drop_stale();
        assert_eq!(n_families(), 0);
    }
}
