//! Replays: failed jobs that an operator has resent.
//!
//! A replay is planned (which jobs, how long), started, followed and cancelled. The workers do it in the background.

mod forecast;
mod order;
mod plan;
mod plan_error;
mod report;

use std::borrow::Cow;

use crate::ledger::{Ledger, LedgerError};
use muster_core::advice::Advice;

pub use forecast::{Forecast, ReplayShare};
pub use order::ReplayOrder;
pub use plan::{ReplayPlan, TYPED_ABOVE, start};
pub use plan_error::PlanError;
pub use report::{ReplayOutcome, ReplayReport, ReplayState};

/// There is no replay with this number, or it cannot be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum NoReplay {
    /// There is none.
    #[error("there is no replay {0}")]
    Unknown(i64),
    /// It has finished.
    #[error("replay {0} is not in progress")]
    Finished(i64),
}

impl Advice for NoReplay {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`muster replay list` lists them".into())
    }
}

/// Lists up to `limit` replays with a number below `before`, the latest first.
pub async fn replays(ledger: &Ledger, before: Option<i64>, limit: u32) -> Result<Vec<ReplayReport>, LedgerError> {
    Ok(ledger.replays(before, limit).await?.into_iter().map(ReplayReport::of).collect())
}

/// Cancels a replay for `who`: nothing more is sent.
///
/// # Errors
/// [`NoReplay`], or a ledger error.
pub async fn cancel(ledger: &Ledger, number: i64, who: &str) -> anyhow::Result<()> {
    if ledger.cancel_replay(number, who).await? {
        return Ok(());
    }
    let is_known = ledger.replay(number).await?.is_some();
    Err(if is_known { NoReplay::Finished(number) } else { NoReplay::Unknown(number) }.into())
}
