//! Requests that change something must come from our own pages (against cross-site request forgery).

use axum::http::header::ORIGIN;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Returns whether a method changes nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Returns whether a request comes from a page of the same origin.
///
/// Browsers send `Sec-Fetch-Site` and `Origin` with every form and every fetch that changes something. Whatever sends
/// neither is no browser and must use a token instead of a cookie.
pub(super) fn is_same_origin(headers: &HeaderMap, host: &Authority, is_https: bool) -> bool {
    let own = origin_of(host, is_https);
    let fetch_site = one(headers, SEC_FETCH_SITE);
    let origin = one(headers, ORIGIN.as_str());
    match (fetch_site, origin) {
        (Some(Ok("same-origin")) | None, Some(Ok(origin))) => origin.eq_ignore_ascii_case(&own),
        (Some(Ok("same-origin")), None) => true,
        _ => false,
    }
}

/// Returns the origin of this site as browsers write it, without the port that its scheme has by default.
fn origin_of(host: &Authority, is_https: bool) -> String {
    let (scheme, default_port) = if is_https { ("https", ":443") } else { ("http", ":80") };
    let host = host.as_str();
    format!("{scheme}://{}", host.strip_suffix(default_port).unwrap_or(host))
}

/// Returns the only value of a header; an error if it has several or one that is not text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<Result<&'a str, ()>> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    Some(if values.next().is_some() { Err(()) } else { value.to_str().map_err(drop) })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn fits(headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        is_same_origin(&map, &"localhost:9465".parse().unwrap(), false)
    }

    #[test]
    fn only_our_own_pages_may_change_something() {
        assert!(fits(&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9465")]));
        assert!(fits(&[("origin", "http://localhost:9465")]));
        assert!(fits(&[("sec-fetch-site", "same-origin")]));
        for forged in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:9465")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://localhost:9465")],
            &[("origin", "http://localhost:9465.evil.example")],
            &[("origin", "http://localhost")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://localhost:9465/")],
            &[("origin", "http://localhost:9465"), ("origin", "http://localhost:9465")],
            &[("sec-fetch-site", "Same-Origin ")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!fits(forged), "{forged:?}");
        }
    }

    #[test]
    fn browsers_omit_the_default_port() {
        for (host, is_https, origin) in [
            ("localhost:9465", false, "http://localhost:9465"),
            ("muster.example.com", true, "https://muster.example.com"),
            ("muster.example.com:443", true, "https://muster.example.com"),
            ("muster.example.com:80", false, "http://muster.example.com"),
            ("muster.example.com:80", true, "https://muster.example.com:80"),
            ("[::1]:443", true, "https://[::1]"),
        ] {
            assert_eq!(origin_of(&host.parse().unwrap(), is_https), origin);
        }
    }
}
