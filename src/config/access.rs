//! How AWS is reached, as the settings say.

use muster_core::role::Role;

/// How AWS is reached: region, endpoint, credentials, role.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The region; none: what the environment or the profile says.
    pub region: Option<String>,
    /// The URL of every service, for a sandbox.
    pub endpoint_url: Option<String>,
    /// Whose credentials are used.
    pub credentials: Credentials,
    /// The role that these credentials assume; none: they work in their own account.
    pub role: Option<Role>,
}

/// Whose credentials are used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Credentials {
    /// What the SDK finds: environment, profiles, container, instance.
    #[default]
    Found,
    /// Made-up ones, which a sandbox takes.
    Sandbox,
}
