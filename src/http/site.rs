//! The state that the handlers of the ops page and its API share.

use std::sync::Arc;

use crate::config::Config;
use crate::ledger::Ledger;

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct Site {
    /// The settings.
    pub config: Arc<Config>,
    /// The ledger, with the time limits of pages.
    pub ledger: Ledger,
}
