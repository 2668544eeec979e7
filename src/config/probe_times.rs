//! Probe intervals: how often a hold lets one job through to check whether the problem is over.

use std::time::Duration;

/// Probe intervals of the holds. A probe is one job that is called to check whether its hold can be released.
#[derive(Clone, Copy, Debug)]
pub struct ProbeTimes {
    /// Interval of the probes of a held issuer.
    pub issuer: Duration,
    /// Interval of the probes of a held batch.
    pub batch: Duration,
    /// Interval of the probes of a held target.
    pub target: Duration,
}
