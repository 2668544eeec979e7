//! The settings of the ops page and its API.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use super::units::{self, Time};

/// The ops page and its API.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address to listen on, or `off`. Beyond loopback, tokens and TLS (or a proxy) are required.
    #[serde(with = "units::address_or_off")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
    /// File of tokens: a line `ROLE NAME TOKEN` each, from `muster token`. Without tokens, local users can read only.
    #[schemars(example = "/run/secrets/muster-tokens")]
    pub tokens_file: Option<PathBuf>,
    /// The same lines, separated by semicolons, for the environment (`MUSTER__HTTP__TOKENS`).
    #[serde(serialize_with = "units::masked", skip_serializing_if = "units::is_empty")]
    #[schemars(with = "Option<String>", example = "operator eva sha256:...")]
    pub tokens: SecretString,
    /// Names under which browsers reach the page, separated by commas. Its own address and `localhost` always work.
    #[schemars(example = "muster.example.com")]
    pub hosts: Option<List<String>>,
    /// PEM file of the certificate chain for TLS.
    #[schemars(example = "/etc/muster/page.pem")]
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[schemars(example = "/etc/muster/page.key")]
    pub key: Option<PathBuf>,
    /// IP addresses of reverse proxies, separated by commas. Only their `X-Forwarded-*` headers are believed.
    #[schemars(example = "10.0.0.7")]
    pub proxies: Option<List<IpAddr>>,
    /// Header in which such a proxy passes the name of the user it authenticated.
    #[schemars(example = "X-Forwarded-User")]
    pub identity_header: Option<String>,
    /// Role of the users whom a proxy authenticated: `viewer` or `operator`.
    pub identity_role: AccessRole,
    /// How long a login lasts.
    pub session: Time,
    /// Maximum time of one database statement for a page.
    pub statement_timeout: Time,
}

/// What somebody may do.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Display, EnumString, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AccessRole {
    /// Read.
    #[default]
    Viewer,
    /// Read and change.
    Operator,
}

/// A list in one string, separated by commas.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String", bound = "T: FromStr + fmt::Display + Clone, T::Err: fmt::Display")]
#[schemars(with = "String")]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr> TryFrom<String> for List<T>
where
    T::Err: fmt::Display,
{
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let read = |word: &str| word.parse().map_err(|error| format!("`{word}`: {error}"));
        words.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl<T: fmt::Display> From<List<T>> for String {
    fn from(list: List<T>) -> Self {
        list.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some((Ipv4Addr::LOCALHOST, 9465).into()),
            tokens_file: None,
            tokens: SecretString::default(),
            hosts: None,
            certificate: None,
            key: None,
            proxies: None,
            identity_header: None,
            identity_role: AccessRole::default(),
            session: Duration::from_hours(12).into(),
            statement_timeout: Duration::from_secs(5).into(),
        }
    }
}
