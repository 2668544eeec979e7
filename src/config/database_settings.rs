//! How the ledger is reached, as the settings say.

use std::path::PathBuf;
use std::time::Duration;

use super::url_source::UrlSource;

/// How to reach the ledger.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Where its URL is found: `postgres://...`, maybe with a password.
    pub url: UrlSource,
    /// PEM file of the CA that signed the server's certificate, where it is not a public one.
    pub root_certificate: Option<PathBuf>,
    /// Most connections of this process.
    pub max_connections: u32,
    /// Longest that one operation may take, the wait for a connection included.
    pub timeout: Duration,
}
