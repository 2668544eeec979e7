//! Who sends a request: by a token, by a proxy's word, by a session, or nobody known.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use tracing::warn;

use super::attempts::Attempts;
use super::extract::unauthorized;
use super::hosts::Hosts;
use super::session::cookie;
use super::{Identity, Peer, Tokens};
use crate::config::http::AccessRole;
use crate::http::problem::Problem;
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;

/// Longest name of a user that a proxy may pass, in bytes.
const NAME_MAX: usize = 200;

/// The access rules of a listener.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) tokens: Tokens,
    pub(super) ledger: Ledger,
    pub(super) hosts: Hosts,
    pub(super) proxies: Vec<IpAddr>,
    pub(super) identity_header: Option<HeaderName>,
    pub(super) identity_role: AccessRole,
    pub(super) session: Duration,
    pub(super) is_tls: bool,
    pub(super) is_loopback: bool,
    pub(super) attempts: Attempts,
}

/// The token of a request with `Authorization: Bearer`. Other schemes are between the client and its proxy.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Bearer<'a>(pub(super) &'a str);

impl<'a> Bearer<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is there several times, or is not text.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).into_iter();
        let Some(value) = values.next() else { return Ok(None) };
        let value = value.to_str().ok().filter(|_| values.next().is_none());
        let malformed = || Problem::new(StatusCode::BAD_REQUEST, "the header Authorization is malformed or repeated");
        let (scheme, token) = value.ok_or_else(malformed)?.split_once(' ').unwrap_or_default();
        Ok(scheme.eq_ignore_ascii_case("bearer").then(|| Self(token.trim())))
    }
}

impl Rules {
    /// Finds out who sends a request; `None`: nobody known.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        bearer: Option<Bearer<'_>>,
        peer: Peer,
    ) -> Result<Option<Identity>, Problem> {
        if let Some(Bearer(token)) = bearer {
            return self.by_token(token, peer).await.map(Some);
        }
        if let Some(identity) = self.by_proxy(headers, peer)? {
            return Ok(Some(identity));
        }
        // What comes from a proxy comes from anywhere.
        if self.tokens.is_empty() && !peer.is_proxy {
            let who = "local".to_owned();
            return Ok(Some(Identity { who, role: AccessRole::Viewer, is_logged_in: false }));
        }
        self.by_session(headers, peer).await
    }

    async fn by_token(&self, token: &str, peer: Peer) -> Result<Identity, Problem> {
        if !peer.is_proxy && !self.is_private(peer) {
            let detail = "a token came without TLS and could be read on the way: replace it";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail).with_hint("use the address of the reverse proxy"));
        }
        self.check_wait(peer, token)?;
        let Some(token) = self.tokens.find(token) else {
            self.note_failure(peer, token).await;
            return Err(unauthorized("the token is not one of this site's"));
        };
        Ok(Identity { who: token.who.clone(), role: token.role, is_logged_in: false })
    }

    /// Takes the user from the identity header, if a proxy of the settings sent it.
    fn by_proxy(&self, headers: &HeaderMap, peer: Peer) -> Result<Option<Identity>, Problem> {
        let Some(name) = self.identity_header.as_ref().filter(|_| peer.is_proxy) else { return Ok(None) };
        let mut values = headers.get_all(name).into_iter();
        let Some(value) = values.next() else { return Ok(None) };
        // A second one may be the client's own.
        let value = value.to_str().ok().filter(|_| values.next().is_none()).map(str::trim);
        let is_name = |who: &&str| !who.is_empty() && who.len() <= NAME_MAX && !who.contains(char::is_control);
        let malformed = || Problem::new(StatusCode::BAD_REQUEST, format!("the header {name} is not one user's name"));
        let who = value.filter(is_name).ok_or_else(malformed)?.to_owned();
        Ok(Some(Identity { who, role: self.identity_role, is_logged_in: false }))
    }

    async fn by_session(&self, headers: &HeaderMap, peer: Peer) -> Result<Option<Identity>, Problem> {
        let Some(key) = cookie(headers, peer.is_https) else { return Ok(None) };
        let Some(session) = self.ledger.session(&key).await? else { return Ok(None) };
        // A token that was removed from the settings, or changed its role, ends its sessions.
        let token = self.tokens.with_fingerprint(&session.who, &session.token);
        let token = token.filter(|token| token.role.to_string() == session.role);
        Ok(token.map(|token| Identity { who: token.who.clone(), role: token.role, is_logged_in: true }))
    }

    /// Returns whether nobody can read along: TLS, or a connection within this machine.
    pub(super) fn is_private(&self, peer: Peer) -> bool {
        peer.is_https || (self.is_loopback && !peer.is_forwarded)
    }

    /// Checks that a client may try a token now.
    pub(super) fn check_wait(&self, peer: Peer, token: &str) -> Result<(), Problem> {
        let Some(wait) = self.attempts.wait(peer.address, token) else { return Ok(()) };
        let seconds = wait.as_secs() + 1;
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many failed logins");
        Err(problem.with_hint(format!("wait {seconds} s")).with_retry_after(seconds))
    }

    /// Counts a failed login, and writes some of them into the audit log.
    pub(super) async fn note_failure(&self, peer: Peer, token: &str) {
        let Some(audited) = self.attempts.failed(peer.address, token) else { return };
        let client = peer.address.to_string();
        warn!(client, "a login failed");
        let detail = serde_json::json!({ "others_not_listed": audited.n_unaudited });
        let action = AuditAction { who: "unknown", action: "login failed", what: &client, detail };
        if let Err(error) = self.ledger.audit(&action).await {
            warn!(%error, "a failed login could not be written to the audit log");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_token_counts() {
        let bearer = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            Bearer::of(&headers).map(|bearer| bearer.map(|Bearer(token)| token.to_owned())).map_err(|p| p.status)
        };
        assert_eq!(bearer(&[]), Ok(None));
        assert_eq!(bearer(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        assert_eq!(bearer(&["Bearer "]), Ok(Some(String::new())));
        assert_eq!(bearer(&["Bearer"]), Ok(None));
        assert_eq!(bearer(&["Basic YTpi"]), Ok(None));
        assert_eq!(bearer(&["Bearer a", "Bearer a"]), Err(StatusCode::BAD_REQUEST));
        assert_eq!(bearer(&["Bearer \u{e9}"]), Err(StatusCode::BAD_REQUEST));
    }
}
