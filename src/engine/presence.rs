//! This worker's heartbeat in the ledger, and the fleet-wide counts that it reads there.
//!
//! Every three seconds it reports host, version and open breakers, so that `muster status` and `muster doctor` can name
//! what blocks the work. Then it reads the counts of the whole fleet, which every worker exports alike.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::debug;

use crate::health::board::Board;
use crate::ledger::workers::Identity;
use crate::ledger::{Ledger, LedgerError};
use crate::telemetry::metrics::Metrics;

/// How often a worker reports. `workers::ALIVE_FOR` is four times as long.
const EVERY: Duration = Duration::from_secs(3);

/// Reports this worker to the ledger.
#[derive(Clone, Debug)]
pub struct Presence {
    /// This worker's identity.
    pub identity: Arc<Identity>,
    /// The ledger.
    pub ledger: Ledger,
    /// The board, whose open breakers and holds are reported.
    pub board: Board,
    /// The metrics that export the fleet-wide counts.
    pub metrics: Arc<Metrics>,
}

impl Presence {
    /// Reports until the future is dropped.
    pub async fn run(self) {
        let mut beats = tokio::time::interval(EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if let Err(error) = self.beat().await {
                self.metrics.db_error(&error);
                // The Postgres breaker logs at a higher level as soon as work is affected.
                debug!(%error, "cannot report to the ledger");
            }
        }
    }

    async fn beat(&self) -> Result<(), LedgerError> {
        self.ledger.beat(&self.identity, &self.board.open()).await?;
        self.ledger.count_missing().await?;
        self.metrics.fleet.show(&self.ledger.facts().await?);
        Ok(())
    }
}

/// Returns the identity of this process, with a random id.
pub fn identity() -> Identity {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    Identity {
        id: format!("{:016x}", fastrand::u64(..)),
        host: host.map_or_else(|| "unknown".to_owned(), |host| host.trim().to_owned()),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
    }
}
