//! How to reach AWS, as the settings define it.

use muster_core::role::Role;

/// How to reach AWS: region, endpoint, credentials, role.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Region. `None`: the one of the environment or the profile.
    pub region: Option<String>,
    /// URL to use for every service, for a sandbox.
    pub endpoint_url: Option<String>,
    /// Which credentials to use.
    pub credentials: Credentials,
    /// Role to assume with these credentials. `None`: they are used as they are, in their own account.
    pub role: Option<Role>,
}

/// Which credentials to use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Credentials {
    /// The ones the SDK finds: environment, profiles, container, instance.
    #[default]
    Found,
    /// Made-up ones, which a sandbox accepts.
    Sandbox,
}
