//! The settings of the sandbox.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::bucket::{Limiting, Rates};
use muster_core::role::Role;

/// The settings of the sandbox: which AWS it imitates.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The address to listen on; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The account id in its ARNs and queue URLs, twelve digits.
    pub account: String,
    /// The region in its ARNs.
    pub region: String,
    /// The only role of the account, which IoT then requires. `None`: every role exists, and IoT accepts any
    /// credentials.
    pub role: Option<Role>,
    /// The names of the existing provisioning templates.
    pub templates: Vec<String>,
    /// The quota of each IoT operation.
    pub rates: Rates,
    /// Whether calls above the quota are refused.
    pub limiting: Limiting,
    /// Tokens in a full bucket, which is how it starts; if `None`, one second's worth of quota.
    pub burst: Option<f64>,
    /// How long every answer is delayed after the operation ran.
    pub latency: Duration,
    /// How far the clock in its answers is ahead of this machine's. Certificates are judged by this machine's clock.
    pub clock_ahead: time::Duration,
    /// Whether to keep the text of registered certificates, about 1 kB each, so that `DescribeCertificate` can return
    /// it.
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
