//! This worker's heartbeat in the ledger, and the fleet-wide counts that it reads there.
//!
//! Every three seconds it reports host, version and open breakers, so that `muster status` and `muster doctor` can name
//! what blocks the work, and adds the throttled calls to the history. Then it reads the counts of the whole fleet, which
//! every worker exports alike. Every ten minutes it deletes what the ledger no longer keeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use crate::engine::throttles::Throttles;
use crate::health::board::Board;
use crate::ledger::workers::Identity;
use crate::ledger::{Ledger, LedgerError};
use crate::telemetry::metrics::Metrics;

/// How often a worker reports. `workers::ALIVE_FOR` is four times as long.
const EVERY: Duration = Duration::from_secs(3);

/// How often a worker deletes what the ledger no longer keeps. Each time it deletes up to ten thousand minutes, many
/// more than a worker adds meanwhile: two for each minute, target and operation.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// Reports this worker to the ledger.
#[derive(Clone, Debug)]
pub struct Presence {
    /// This worker's identity.
    pub identity: Arc<Identity>,
    /// The ledger.
    pub ledger: Ledger,
    /// The board, whose open breakers and holds are reported.
    pub board: Board,
    /// The throttled calls, which are written with each heartbeat.
    pub throttles: Throttles,
    /// The metrics that export the fleet-wide counts.
    pub metrics: Arc<Metrics>,
}

impl Presence {
    /// Reports until the future is dropped.
    pub async fn run(self) {
        let mut beats = tokio::time::interval(EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidied_at = None;
        loop {
            beats.tick().await;
            if let Err(error) = self.beat(&mut tidied_at).await {
                self.metrics.db_error(&error);
                // The Postgres breaker logs at a higher level as soon as work is affected.
                debug!(%error, "cannot report to the ledger");
            }
        }
    }

    async fn beat(&self, tidied_at: &mut Option<Instant>) -> Result<(), LedgerError> {
        self.ledger.beat(&self.identity, &self.board.open()).await?;
        self.throttles.write_to(&self.ledger).await?;
        self.ledger.count_missing().await?;
        self.metrics.fleet.show(&self.ledger.facts().await?);
        if tidied_at.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
            self.ledger.forget_minutes().await?;
            self.ledger.forget_changes().await?;
            *tidied_at = Some(Instant::now());
        }
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
