//! How often one job is let through to find out whether a hold is over.

use std::time::Duration;

/// How often one job is let through to see whether a hold is over.
#[derive(Clone, Copy, Debug)]
pub struct ProbeTimes {
    /// A job of a held issuer.
    pub issuer: Duration,
    /// A job of a held batch.
    pub batch: Duration,
    /// A job of a held target.
    pub target: Duration,
}
