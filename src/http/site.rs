//! The state that the API and the page share.

use std::sync::Arc;

use crate::config::Config;
use crate::ledger::Ledger;

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct Site {
    /// The settings.
    pub config: Arc<Config>,
    /// The ledger, with the time limit of pages.
    pub ledger: Ledger,
}
