//! What kind of AWS the sandbox is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::bucket::{Limiting, Rates};
use muster_core::role::Role;

/// What kind of AWS the sandbox is.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The account id in its ARNs and queue URLs, twelve digits.
    pub account: String,
    /// The region in its ARNs.
    pub region: String,
    /// The only role of the account, which IoT then asks for; none: every role is there, and IoT takes any credentials.
    pub role: Option<Role>,
    /// The names of the provisioning templates that are there.
    pub templates: Vec<String>,
    /// The quota of each IoT operation.
    pub rates: Rates,
    /// Whether a call above the quota is refused.
    pub limiting: Limiting,
    /// Tokens that a bucket holds when it is full, as it is at first; one second of quota where `None`.
    pub burst: Option<f64>,
    /// How long every answer is held back after the operation ran.
    pub latency: Duration,
    /// How far the clock in its answers is ahead of this machine's; certificates are judged by the latter.
    pub clock_ahead: time::Duration,
    /// Whether the text of registered certificates is kept, about 1 kB each, so that `DescribeCertificate` can show it.
    pub keep_pem: bool,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            role: None,
            templates: Vec::new(),
            rates: Rates::default(),
            limiting: Limiting::default(),
            burst: None,
            latency: Duration::ZERO,
            clock_ahead: time::Duration::ZERO,
            keep_pem: true,
        }
    }
}
