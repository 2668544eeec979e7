//! What this worker knows of the holds: those of the ledger, and those that it found itself a moment ago.

use crate::hold::HoldKey;
use crate::store::hold::OpenHold;

/// The holds, shared by worker and sender.
#[derive(Clone, Debug, Default)]
pub struct Holds;

impl Holds {
    /// Takes over what the ledger holds.
    pub fn refresh(&self, _open: Vec<OpenHold>) {}

    /// The holds under which a call went through since the last time this was asked: they may be over.
    pub fn take_releases(&self) -> Vec<HoldKey> {
        vec![]
    }

    /// The holds that this worker must not probe: its own breaker of the target is open.
    pub fn not_ours_to_probe(&self) -> Vec<HoldKey> {
        vec![]
    }
}
