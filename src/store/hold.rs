//! What parked jobs wait for, and sending them again.

use super::{Store, StoreError};
use crate::hold::HoldKey;

/// A hold that is not over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenHold {
    /// Its name.
    pub hold: HoldKey,
    /// What was found, for people.
    pub reason: String,
    /// Further jobs are parked without a call.
    pub is_closed: bool,
    /// One job may be let through now.
    pub is_probe_due: bool,
}

impl Store {
    /// Stub.
    ///
    /// # Errors
    /// Stub.
    pub async fn claim_probe(&self, _hold: &HoldKey) -> Result<bool, StoreError> {
        Ok(false)
    }
}
