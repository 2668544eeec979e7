//! The cookie of a session.
//!
//! Over TLS its name begins with `__Host-`: browsers then accept it only from this host, only over TLS, and never from a
//! subdomain. They refuse that prefix over plain HTTP, so on loopback the cookie has a plain name.

use std::time::Duration;

use aws_lc_rs::rand;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::tokens::sha256;
use crate::ledger::session::SessionKey;

/// Name of the cookie over TLS, and over plain HTTP.
const NAMES: (&str, &str) = ("__Host-muster", "muster");

/// The id of a new session, which only the browser knows.
pub(super) struct SessionId(String);

impl SessionId {
    /// Creates an id of 256 random bits.
    pub(super) fn random() -> Self {
        let mut bits = [0; 32];
        rand::fill(&mut bits).expect("aws-lc ends the process if the system has no random bits");
        Self(hex::encode(bits))
    }

    /// Returns the key under which the ledger stores the session.
    pub(super) fn key(&self) -> SessionKey {
        sha256(self.0.as_bytes())
    }

    /// Returns the cookie.
    pub(super) fn cookie(&self, lasts: Duration, is_https: bool) -> HeaderValue {
        header(&self.0, lasts.as_secs(), is_https)
    }
}

/// Returns the cookie that removes a session's cookie.
pub(super) fn no_cookie(is_https: bool) -> HeaderValue {
    header("", 0, is_https)
}

fn header(value: &str, max_age: u64, is_https: bool) -> HeaderValue {
    let (name, secure) = if is_https { (NAMES.0, "; Secure") } else { (NAMES.1, "") };
    let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    text.parse().expect("hex digits and constants are a valid header")
}

/// Returns the key of the session in the request's cookie. With two cookies of the name, one may be planted: none counts.
pub(super) fn cookie(headers: &HeaderMap, is_https: bool) -> Option<SessionKey> {
    let name = if is_https { NAMES.0 } else { NAMES.1 };
    let texts = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(its_name, _)| *its_name == name).map(|(_, value)| value);
    let value = values.next().filter(|_| values.next().is_none())?;
    let is_id = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| sha256(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cookies: &[&str], is_https: bool) -> Option<SessionKey> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        cookie(&headers, is_https)
    }

    #[test]
    fn a_session_is_found_by_its_cookie_alone() {
        let id = SessionId::random();
        assert_eq!(key(&[&format!("a=b; muster={}; c", id.0)], false), Some(id.key()));
        assert_eq!(key(&[&format!("__Host-muster={}", id.0)], true), Some(id.key()));
        assert_eq!(key(&[&format!("muster={}", id.0)], true), None, "a cookie that was set over plain HTTP");
    }

    #[test]
    fn malformed_and_repeated_cookies_count_as_none() {
        let id = SessionId::random().0;
        let planted = SessionId::random().0;
        for cookies in [
            &[][..],
            &["muster="],
            &["muster=xyz"],
            &[&*format!("muster={id}; muster={planted}")],
            &[&*format!("muster={id}"), &*format!("muster={planted}")],
            &[&*format!("Muster={id}")],
        ] {
            assert_eq!(key(cookies, false), None, "{cookies:?}");
        }
    }

    #[test]
    fn the_cookie_is_not_for_scripts_or_other_sites() {
        let id = SessionId::random();
        let cookie = id.cookie(Duration::from_hours(1), true);
        let wanted = format!("__Host-muster={}; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure", id.0);
        assert_eq!(cookie, wanted);
        assert_eq!(no_cookie(false), "muster=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
