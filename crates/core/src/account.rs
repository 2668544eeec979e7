//! The AWS account and region that quotas, registrations and known certificates belong to.

use std::fmt;

/// An account and region.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// AWS account id, 12 digits.
    pub id: String,
    /// AWS region.
    pub region: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.id, self.region)
    }
}
