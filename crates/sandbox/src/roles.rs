//! The roles of the account: which are there, and whom they let in.
//!
//! Where the sandbox is given no role, every role of its account is there and lets anybody in. Where it is given one, that
//! one alone is there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::settings::SandboxSettings;
use muster_core::role::{Role, RoleArn};

/// The roles of one account.
pub(super) struct Roles {
    account: String,
    given: Mutex<Option<Role>>,
}

impl Roles {
    pub(super) fn new(settings: &SandboxSettings) -> Self {
        Self { account: settings.account.clone(), given: Mutex::new(settings.role.clone()) }
    }

    /// Changes the role that the sandbox is given.
    pub(super) fn set(&self, role: Option<Role>) {
        *self.given() = role;
    }

    /// Says whether the sandbox was given a role, so that IoT asks for it.
    pub(super) fn is_one_given(&self) -> bool {
        self.given().is_some()
    }

    /// Says whether a role is there.
    pub(super) fn has(&self, arn: &RoleArn) -> bool {
        arn.account() == self.account && self.given().as_ref().is_none_or(|role| role.arn == *arn)
    }

    /// Says whether a role is there and lets in who knows this external id.
    pub(super) fn trusts(&self, arn: &RoleArn, external_id: Option<&str>) -> bool {
        let is_id_good = match self.given().as_ref().and_then(|role| role.external_id.as_deref()) {
            None => true,
            wanted => external_id == wanted,
        };
        is_id_good && self.has(arn)
    }

    fn given(&self) -> MutexGuard<'_, Option<Role>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
