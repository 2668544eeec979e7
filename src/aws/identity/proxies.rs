//! The HTTP client for all AWS calls if the environment names a proxy.
//!
//! The SDK reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` itself, but has two flaws. It sends requests
//! for the credentials of the instance or the container to the proxy too, which has none, or those of another machine.
//! And it applies `NO_PROXY=*` to names only, not to addresses. So there are two clients, one of which never uses a
//! proxy, and each request uses the right one for its host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Variables that name a proxy.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables that name hosts to reach without a proxy. The first one that is set counts.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Addresses from which machines, containers (ECS) and pods (EKS) get their credentials.
const CREDENTIAL_SOURCES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// Returns the client if the environment names a proxy. Otherwise the SDK's own client does the same.
pub(super) fn client() -> Option<SharedHttpClient> {
    let variable = |name: &&str| std::env::var(name).ok();
    PROXIES.iter().filter_map(variable).find(|proxy| !proxy.is_empty())?;
    let is_off = NO_PROXY.iter().find_map(variable).is_some_and(|hosts| covers_all_hosts(&hosts));
    let clients =
        Clients { proxied: client_with(ProxyConfig::from_env), direct: client_with(ProxyConfig::disabled), is_off };
    Some(SharedHttpClient::new(clients))
}

/// Returns whether a list of hosts without a proxy covers all hosts, so that no host uses one.
fn covers_all_hosts(no_proxy: &str) -> bool {
    no_proxy.split(',').any(|host| host.trim() == "*")
}

/// Returns whether a host is never reached through a proxy: this machine, and the sources of its credentials.
fn bypasses_proxy(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || CREDENTIAL_SOURCES.contains(&address),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Creates the SDK's own client with the given proxies.
fn client_with(proxies: fn() -> ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.set_proxy_config(Some(proxies()));
        builder.build()
    })
}

#[derive(Debug)]
struct Clients {
    proxied: SharedHttpClient,
    direct: SharedHttpClient,
    /// Whether no host is reached through a proxy.
    is_off: bool,
}

impl HttpClient for Clients {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connectors {
            proxied: self.proxied.http_connector(settings, components),
            direct: self.direct.http_connector(settings, components),
            is_off: self.is_off,
        })
    }
}

#[derive(Debug)]
struct Connectors {
    proxied: SharedHttpConnector,
    direct: SharedHttpConnector,
    is_off: bool,
}

impl HttpConnector for Connectors {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_direct = self.is_off || host(request.uri()).is_some_and(bypasses_proxy);
        if is_direct { self.direct.call(request) } else { self.proxied.call(request) }
    }
}

/// Returns the host of an absolute URL. An IPv6 address keeps its brackets.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
    Some(&host[..end.unwrap_or(host.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_credential_sources_bypass_the_proxy() {
        for url in [
            "http://127.0.0.1:4566/",
            "http://127.9.9.9",
            "http://[::1]:4566/queue",
            "http://localhost:4566?a=b",
            "http://169.254.169.254/latest/api/token",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
        ] {
            assert!(host(url).is_some_and(bypasses_proxy), "{url}");
        }
        for url in [
            "https://sqs.eu-central-1.amazonaws.com/",
            "https://localhost.example.com:443/",
            "http://10.0.0.1/127.0.0.1",
            "http://127.0.0.1@10.0.0.1/",
            "http://169.254.1.1/",
        ] {
            assert!(!host(url).is_some_and(bypasses_proxy), "{url}");
        }
    }

    #[test]
    fn a_star_in_no_proxy_covers_all_hosts() {
        for (hosts, is_off) in
            [("*", true), (" * ", true), ("a.b,*", true), ("", false), ("*.amazonaws.com", false), ("a.b", false)]
        {
            assert_eq!(covers_all_hosts(hosts), is_off, "{hosts:?}");
        }
    }
}
