//! Where a job is in a worker.

use strum::{IntoStaticStr, VariantArray};

/// Where a job is.
#[derive(Clone, Copy, Debug, Eq, Hash, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Is prechecked and looked up.
    Checking,
    /// Waits for a token, for a retry, or for another copy of itself.
    Waiting,
    /// AWS is asked.
    Calling,
    /// Its end is written and its message deleted.
    Recording,
    /// Its message goes back to the queue.
    Releasing,
}

impl Stage {
    /// Says whether AWS may have been called.
    pub fn has_started(self) -> bool {
        matches!(self, Self::Calling | Self::Recording | Self::Releasing)
    }
}
