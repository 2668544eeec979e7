//! How clients of a certificate must connect.

use serde::{Deserialize, Serialize};

/// How clients of a certificate must connect; a leaf inherits it from its CA.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateMode {
    /// The account is found by the CA, which only one account may have registered.
    #[default]
    Default,
    /// The account is found by the server name that the client sends.
    SniOnly,
}
