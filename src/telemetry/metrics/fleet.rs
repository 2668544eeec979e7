//! Gauges of the whole fleet, as the ledger last said: equal on every worker.
//!
//! They are absent, not 0, until the ledger was read, and again once the last reading is too old to be true.

use std::sync::Mutex;
use std::time::Duration;

use prometheus::IntGaugeVec;
use strum::VariantArray;
use tokio::time::Instant;

use super::maker::Maker;
use crate::ledger::facts::FleetFacts;
use muster_core::hold::HoldKind;
use muster_core::outcome::Code;

/// How long counts are shown after they were read: ten heartbeats.
const SHOWN_FOR: Duration = Duration::from_secs(30);

/// The gauges.
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
    /// Makes the gauges, without a series yet.
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            workers_alive: make.gauges("workers_alive", "Workers that reported to the ledger in the last 12 s.", &[]),
            parked_jobs: make.gauges("parked_jobs", "Parked jobs of all batches.", &["code"]),
            holds_open: make.gauges("holds_open", "Open holds.", &["kind"]),
            quarantined_messages: make.gauges(
                "quarantined_messages",
                "Messages in the quarantine, counted up to 1,000,000.",
                &[],
            ),
            batch_missing_jobs: make.gauges(
                "batch_missing_jobs",
                "Certificates of all batches that were announced and have no outcome, once the queues have been empty for \
                 2 minutes.",
                &[],
            ),
            read_at: Mutex::default(),
        }
    }

    /// Shows what the ledger says.
    pub fn show(&self, facts: &FleetFacts) {
        let mut read_at = self.read_at.lock().expect("nothing panics while it holds this lock");
        set(&self.workers_alive, &[], facts.workers_alive);
        set(&self.quarantined_messages, &[], facts.quarantined);
        // Nothing is known to be missing while messages may be on their way.
        set(&self.batch_missing_jobs, &[], facts.missing.unwrap_or_default());
        for code in Code::VARIANTS.iter().filter(|code| !code.status().is_end()) {
            let n = facts.parked.get(code.as_str()).copied().unwrap_or_default();
            set(&self.parked_jobs, &[code.as_str()], n);
        }
        for kind in HoldKind::VARIANTS.iter().map(<&str>::from) {
            set(&self.holds_open, &[kind], facts.holds.get(kind).copied().unwrap_or_default());
        }
        *read_at = Some(Instant::now());
    }

    /// Removes what was read too long ago.
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
    async fn counts_are_absent_before_they_were_read_and_once_they_are_old() {
        let make = Maker(Registry::new());
        let fleet = Fleet::new(&make);
        let n_families = || make.0.gather().len();
        assert_eq!(n_families(), 0);
        fleet.show(&FleetFacts::default());
        fleet.drop_stale();
        assert_eq!(n_families(), 5);
        tokio::time::advance(SHOWN_FOR * 2).await;
        fleet.drop_stale();
        assert_eq!(n_families(), 0);
    }
}
