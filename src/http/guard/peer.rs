//! Who sent a request: the client's address, and whether the connection is private.
//!
//! `X-Forwarded-For` and `X-Forwarded-Proto` are believed only if the TCP peer is one of the proxies in the settings.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The sender of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its address; behind a proxy, that of the client.
    pub address: IpAddr,
    /// Whether the TCP peer is a proxy of the settings.
    pub is_proxy: bool,
    /// Whether such a proxy says that it passes on a request of somebody else.
    pub is_forwarded: bool,
    /// Whether the client's connection uses TLS.
    pub is_https: bool,
}

impl Peer {
    /// Determines the sender from the TCP peer and the headers.
    pub(super) fn of(tcp: IpAddr, headers: &HeaderMap, proxies: &[IpAddr], is_tls: bool) -> Self {
        let tcp = tcp.to_canonical();
        if !proxies.contains(&tcp) {
            return Self { address: tcp, is_proxy: false, is_forwarded: false, is_https: is_tls };
        }
        let scheme = words(headers, FORWARDED_PROTO).last();
        Self {
            address: client(headers, proxies).unwrap_or(tcp),
            is_proxy: true,
            is_forwarded: headers.contains_key(FORWARDED_FOR) || scheme.is_some(),
            is_https: scheme.map_or(is_tls, |scheme| scheme.eq_ignore_ascii_case("https")),
        }
    }
}

/// Returns the last address that no proxy of ours has. What stands before it may be invented, so it is not even read.
fn client(headers: &HeaderMap, proxies: &[IpAddr]) -> Option<IpAddr> {
    let added: Vec<&str> = words(headers, FORWARDED_FOR).collect();
    added.into_iter().rev().map(address).find(|address| address.is_none_or(|address| !proxies.contains(&address)))?
}

/// Reads an address, to which some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Returns the elements of a header that is a list, over all its lines. A line that is not text is one element.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn peer(tcp: &str, headers: &[(&'static str, &str)]) -> Peer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Peer::of(tcp.parse().unwrap(), &map, &["10.0.0.7".parse().unwrap(), "10.0.0.8".parse().unwrap()], false)
    }

    #[test]
    fn headers_of_strangers_are_ignored() {
        let stranger = peer("192.0.2.1", &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https")]);
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(stranger, Peer { address, is_proxy: false, is_forwarded: false, is_https: false });
    }

    #[test]
    fn the_client_is_whoever_the_last_proxy_of_ours_saw() {
        for (lines, client) in [
            (&["127.0.0.1, 192.0.2.9"][..], "192.0.2.9"),
            (&["127.0.0.1", "192.0.2.9"], "192.0.2.9"),
            (&["192.0.2.9, 10.0.0.8"], "192.0.2.9"),
            (&["invented, \u{e9}, , 192.0.2.9"], "10.0.0.7"),
            (&["invented, 192.0.2.9"], "192.0.2.9"),
            (&["\u{e9}", "192.0.2.9:1234"], "192.0.2.9"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["192.0.2.9, unknown"], "10.0.0.7"),
            (&["10.0.0.8"], "10.0.0.7"),
            (&[], "10.0.0.7"),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(peer("::ffff:10.0.0.7", &headers).address.to_string(), client, "{lines:?}");
        }
    }

    #[test]
    fn a_proxy_says_last_which_scheme_its_client_used() {
        for (lines, is_https) in [
            (&["https"][..], true),
            (&["http, HTTPS"], true),
            (&["https, http"], false),
            (&["https", "http"], false),
            (&["\u{e9}"], false),
            (&[], false),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
            let peer = peer("10.0.0.7", &headers);
            assert_eq!((peer.is_https, peer.is_forwarded), (is_https, !lines.is_empty()), "{lines:?}");
        }
    }
}
