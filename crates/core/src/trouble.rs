//! What holds calls back, as a worker reports it: to `/readyz`, and through the ledger to `muster status`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The values of the metric label `breaker`.
pub const BREAKER_LABELS: [&str; 7] = ["auth", "outage", "postgres", "sqs", "issuer", "batch", "pause"];

/// One open breaker or closed hold.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trouble {
    /// One of [`BREAKER_LABELS`]; a newer worker may report others.
    pub breaker: Cow<'static, str>,
    /// What it affects: a target's operation or a hold; empty if there is nothing more to name.
    pub what: String,
    /// What happened, as text for an operator. For a hold on an issuer, it names the CA.
    pub reason: String,
}
