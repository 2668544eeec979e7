//! The stages of a job in a worker.

use strum::{IntoStaticStr, VariantArray};

/// The stage of a job.
#[derive(Clone, Copy, Debug, Eq, Hash, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// The job is prechecked and looked up in the ledger.
    Checking,
    /// The job waits for a permit, for a retry, or for another copy of itself.
    Waiting,
    /// AWS is called.
    Calling,
    /// The outcome is committed, then the message is deleted.
    Recording,
    /// The message is released to the queue.
    Releasing,
}

impl Stage {
    /// Returns whether AWS may have been called.
    pub fn has_started(self) -> bool {
        matches!(self, Self::Calling | Self::Recording | Self::Releasing)
    }
}
