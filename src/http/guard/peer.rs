//! Who sent a request: the client's address, and whether the connection is private.
//!
//! `X-Forwarded-For` and `X-Forwarded-Proto` are believed only if the TCP peer is one of the proxies in the settings.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// The sender of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its address; behind a proxy, that of the client.
    pub address: IpAddr,
    /// Whether the TCP peer is a proxy of the settings.
    pub is_proxy: bool,
    /// Whether the client's connection uses TLS.
    pub is_https: bool,
}

impl Peer {
    /// Determines the sender from the TCP peer and the headers.
    pub(super) fn of(tcp: IpAddr, headers: &HeaderMap, proxies: &[IpAddr], is_tls: bool) -> Self {
        let tcp = tcp.to_canonical();
        if !proxies.contains(&tcp) {
            return Self { address: tcp, is_proxy: false, is_https: is_tls };
        }
        let is_https = is_tls || last(headers, "x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        // The last address that no proxy of ours added: what stands before it may be invented.
        let forwarded = headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok());
        let addresses: Vec<IpAddr> = forwarded
            .flat_map(|value| value.split(','))
            .map_while(|text| text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical()))
            .collect();
        let client = addresses.into_iter().rev().find(|address| !proxies.contains(address));
        Self { address: client.unwrap_or(tcp), is_proxy: true, is_https }
    }
}

/// Returns the last value of a header.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).into_iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn peer(tcp: &str, headers: &[(&'static str, &'static str)]) -> Peer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Peer::of(tcp.parse().unwrap(), &map, &["10.0.0.7".parse().unwrap()], false)
    }

    #[test]
    fn headers_of_strangers_are_ignored() {
        let stranger = peer("192.0.2.1", &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https")]);
        assert_eq!(stranger, Peer { address: "192.0.2.1".parse().unwrap(), is_proxy: false, is_https: false });
    }

    #[test]
    fn a_proxy_names_the_client_that_it_saw_last() {
        let headers = [("x-forwarded-for", "127.0.0.1, 192.0.2.9"), ("x-forwarded-proto", "https")];
        let client = peer("::ffff:10.0.0.7", &headers);
        assert_eq!(client, Peer { address: "192.0.2.9".parse().unwrap(), is_proxy: true, is_https: true });
        assert!(!peer("10.0.0.7", &[("x-forwarded-proto", "https, http")]).is_https);
    }
}
