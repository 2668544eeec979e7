//! The allow-list of host names, against DNS rebinding: a page on another site cannot point its own name at ours.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};

use crate::http::problem::Problem;

/// Names under which the page may be reached.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
    listen: IpAddr,
}

/// Why a request is not for this site.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HostError {
    /// It names no host, several, or something that is not one.
    Unclear,
    /// It names another host.
    Other,
}

impl Hosts {
    /// Creates the list from the settings and the address of the listener.
    pub(super) fn new(names: &[String], listen: SocketAddr) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { names, listen: listen.ip().to_canonical() }
    }

    /// Returns the host of a request, with its port.
    ///
    /// # Errors
    /// The request does not name exactly one host, or one that is not on the list.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, HostError> {
        let host = only_host(uri, headers).ok_or(HostError::Unclear)?;
        if self.is_allowed(host.host()) { Ok(host) } else { Err(HostError::Other) }
    }

    fn is_allowed(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        match literal.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => {
                let is_own = address == self.listen && !address.is_unspecified();
                address.is_loopback() || is_own || self.names.contains(&host)
            }
            Err(_) => host == "localhost" || self.names.contains(&host),
        }
    }
}

/// Returns the one host that a request names.
fn only_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    let is_one = hosts.next().is_none() && uri.authority().is_none_or(|target| *target == host);
    // The parser also accepts a user, and any text after the address in brackets or in place of a port.
    let rest = host.as_str().strip_prefix(host.host())?;
    let has_port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (is_one && (rest.is_empty() || has_port(rest))).then_some(host)
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Unclear => Self::new(StatusCode::BAD_REQUEST, "the request does not name exactly one host"),
            HostError::Other => Self::new(StatusCode::MISDIRECTED_REQUEST, "this site does not have the host's name")
                .with_hint("list the name in `http.hosts`; a reverse proxy must pass on the header Host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check_at(listen: &str, target: &str, hosts: &[&str]) -> Result<(), HostError> {
        let list = Hosts::new(&["Muster.example.com".to_owned()], listen.parse().unwrap());
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        list.check(&target.parse().unwrap(), &headers).map(drop)
    }

    fn check(target: &str, hosts: &[&str]) -> Result<(), HostError> {
        check_at("10.0.0.1:9465", target, hosts)
    }

    #[test]
    fn only_listed_names_and_own_addresses_are_allowed() {
        for host in [
            "localhost",
            "LOCALHOST:9465",
            "127.0.0.1:1",
            "[::1]:9465",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "muster.example.com:443",
            "muster.example.com.",
        ] {
            assert_eq!(check("/", &[host]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.2",
            "0.0.0.0",
            "localhost.evil.example",
            "muster.example.com.evil",
            "2130706433",
            "muster.example.com..",
        ] {
            assert_eq!(check("/", &[host]), Err(HostError::Other), "{host}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for host in [
            "",
            " ",
            "a@localhost",
            "localhost:x",
            "localhost:99999",
            "localhost:",
            "[::1]x",
            "[::1",
            "local\u{e9}host",
        ] {
            assert_eq!(check("/", &[host]), Err(HostError::Unclear), "{host}");
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        assert_eq!(check("/", &[]), Err(HostError::Unclear));
        assert_eq!(check("/", &["localhost", "localhost"]), Err(HostError::Unclear));
        assert_eq!(check("http://evil.example/", &["localhost"]), Err(HostError::Unclear));
        assert_eq!(check("http://evil.example/", &["evil.example"]), Err(HostError::Other));
        assert_eq!(check("http://localhost/", &["localhost"]), Ok(()));
    }

    #[test]
    fn the_address_of_all_interfaces_is_not_a_name() {
        assert_eq!(check_at("0.0.0.0:9465", "/", &["0.0.0.0:9465"]), Err(HostError::Other));
        assert_eq!(check_at("[::]:9465", "/", &["[::]:9465"]), Err(HostError::Other));
    }
}
