//! How to reach the ledger, as the settings define it.

use std::path::PathBuf;
use std::time::Duration;

use super::url_source::UrlSource;

/// How to reach the ledger.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Where to find its URL: `postgres://...`, possibly with a password.
    pub url: UrlSource,
    /// PEM file of the CA that signed the server's certificate, if it is not a public CA.
    pub root_certificate: Option<PathBuf>,
    /// Maximum number of connections of this process.
    pub max_connections: u32,
    /// Maximum time for one operation, including the wait for a connection.
    pub timeout: Duration,
    /// Maximum time of one statement, enforced by the server. `None`: its default.
    pub statement_timeout: Option<Duration>,
}
