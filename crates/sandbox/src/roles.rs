//! The roles of the account: which exist, and whom they trust.
//!
//! If the sandbox is configured without a role, every role of its account exists and trusts any caller. If it is
//! configured with one, only that role exists.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::settings::SandboxSettings;
use muster_core::role::{Role, RoleArn};

/// The roles of one account.
pub(super) struct Roles {
    account: String,
    configured: Mutex<Option<Role>>,
}

impl Roles {
    pub(super) fn new(settings: &SandboxSettings) -> Self {
        Self { account: settings.account.clone(), configured: Mutex::new(settings.role.clone()) }
    }

    /// Replaces the configured role.
    pub(super) fn set(&self, role: Option<Role>) {
        *self.configured() = role;
    }

    /// Returns whether a role is configured, so that IoT requires it.
    pub(super) fn is_configured(&self) -> bool {
        self.configured().is_some()
    }

    /// Returns whether a role exists.
    pub(super) fn has(&self, arn: &RoleArn) -> bool {
        arn.account() == self.account && self.configured().as_ref().is_none_or(|role| role.arn == *arn)
    }

    /// Returns whether a role exists and trusts a caller with this external id.
    pub(super) fn trusts(&self, arn: &RoleArn, external_id: Option<&str>) -> bool {
        let id_matches = match self.configured().as_ref().and_then(|role| role.external_id.as_deref()) {
            None => true,
            wanted => external_id == wanted,
        };
        id_matches && self.has(arn)
    }

    fn configured(&self) -> MutexGuard<'_, Option<Role>> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
