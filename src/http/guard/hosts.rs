//! The allow-list of host names, against DNS rebinding: a page on another site cannot point its own name at ours.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// Names under which the page may be reached.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
    listen: IpAddr,
}

impl Hosts {
    /// Creates the list from the settings and the address of the listener.
    pub(super) fn new(names: &[String], listen: SocketAddr) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { names, listen: listen.ip().to_canonical() }
    }

    /// Returns the host of a request, with its port, if the request names one allowed host and no other.
    pub(super) fn allowed(&self, uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
        let mut hosts = headers.get_all(HOST).into_iter();
        let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
        let is_one = hosts.next().is_none() && uri.authority().is_none_or(|target| *target == host);
        let has_user = host.as_str().contains('@');
        (is_one && !has_user && self.is_allowed(host.host())).then_some(host)
    }

    fn is_allowed(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match address.map(|address| address.to_canonical()) {
            Some(address) => address.is_loopback() || address == self.listen || self.names.contains(&host),
            None => host == "localhost" || self.names.contains(&host),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_allowed(target: &str, hosts: &[&str]) -> bool {
        let list = Hosts::new(&["Muster.example.com".to_owned()], "10.0.0.1:9465".parse().unwrap());
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        list.allowed(&target.parse().unwrap(), &headers).is_some()
    }

    #[test]
    fn only_listed_names_and_own_addresses_are_allowed() {
        for host in [
            "localhost",
            "LOCALHOST:9465",
            "127.0.0.1:1",
            "[::1]:9465",
            "10.0.0.1",
            "muster.example.com:443",
            "muster.example.com.",
        ] {
            assert!(is_allowed("/", &[host]), "{host}");
        }
        for host in ["evil.example", "10.0.0.2", "localhost.evil.example", "muster.example.com.evil", "a@localhost", ""]
        {
            assert!(!is_allowed("/", &[host]), "{host}");
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        assert!(!is_allowed("/", &[]));
        assert!(!is_allowed("/", &["localhost", "localhost"]));
        assert!(!is_allowed("http://evil.example/", &["localhost"]));
        assert!(is_allowed("http://localhost/", &["localhost"]));
    }
}
