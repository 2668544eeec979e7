//! Logging in with a token, and out.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tracing::warn;

use super::session::{SessionId, cookie, no_cookie};
use super::{Admitted, Gate, Peer, Rules};
use crate::http::page::{document, problem_page};
use crate::http::problem::Problem;
use crate::http::request::{Fields, Params};
use crate::ledger::audit::AuditAction;
use crate::ledger::session::Session;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoginParams {
    next: String,
}

#[derive(Deserialize)]
pub(super) struct LoginFields {
    token: String,
    #[serde(default)]
    next: String,
}

/// Shows the form.
pub(super) async fn form(
    State(Gate(rules)): State<Gate>,
    Extension(admitted): Extension<Admitted>,
    Params(params): Params<LoginParams>,
) -> Markup {
    page(&rules, admitted.peer, &params.next, None)
}

/// Checks the token and opens a session.
pub(super) async fn log_in(
    State(Gate(rules)): State<Gate>,
    Extension(admitted): Extension<Admitted>,
    Fields(fields): Fields<LoginFields>,
) -> Response {
    match rules.log_in(admitted.peer, &fields).await {
        Ok(id) => {
            let cookie = id.cookie(rules.session, admitted.peer.is_https);
            (AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(local(&fields.next))).into_response()
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            let form = page(&rules, admitted.peer, &fields.next, Some(&problem.detail));
            (StatusCode::UNAUTHORIZED, form).into_response()
        }
        Err(problem) => problem_page(problem),
    }
}

/// Closes the session.
pub(super) async fn log_out(
    State(Gate(rules)): State<Gate>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Response {
    let peer = admitted.peer;
    if let Some(key) = cookie(&headers, peer.is_https)
        && let Err(error) = rules.ledger.close_session(&key, &peer.address.to_string()).await
    {
        // The session may live on: the reader must know.
        return problem_page(error.into());
    }
    (AppendHeaders([(SET_COOKIE, no_cookie(peer.is_https))]), Redirect::to("/login")).into_response()
}

impl Rules {
    async fn log_in(&self, peer: Peer, fields: &LoginFields) -> Result<SessionId, Problem> {
        if !self.is_private(peer) {
            return Err(Problem::new(StatusCode::FORBIDDEN, NOT_PRIVATE));
        }
        if let Some(wait) = self.attempts.wait(peer.address) {
            return Err(too_many(wait));
        }
        let Some(token) = self.tokens.find(fields.token.trim()) else {
            self.note_failure(peer).await;
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "This token is not valid."));
        };
        self.attempts.succeeded(peer.address);
        let id = SessionId::random();
        let session = Session { who: token.who.clone(), role: token.role.to_string(), token: token.fingerprint() };
        self.ledger.open_session(&id.key(), &session, self.session, &peer.address.to_string()).await?;
        Ok(id)
    }

    /// Returns whether nobody can read along: TLS, or a connection within this machine.
    fn is_private(&self, peer: Peer) -> bool {
        peer.is_https || (self.is_loopback && peer.address.is_loopback())
    }

    async fn note_failure(&self, peer: Peer) {
        let client = peer.address.to_string();
        if self.attempts.failed(peer.address) {
            warn!(client, "a login failed");
            let detail = serde_json::json!({});
            let action = AuditAction { who: "unknown", action: "login failed", what: &client, detail };
            if let Err(error) = self.ledger.audit(&action).await {
                warn!(%error, "a failed login could not be written to the audit log");
            }
        }
    }
}

const NOT_PRIVATE: &str = "A login needs TLS, or a browser on the same machine: the token could be read on the way.";

/// Creates the answer to a client that must wait.
pub(super) fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many failed logins")
        .with_hint(format!("wait {seconds} s"))
        .with_retry_after(seconds)
}

/// Returns a path of this site, whatever was asked for: never another site.
fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain { next } else { "/" }
}

fn page(rules: &Rules, peer: Peer, next: &str, problem: Option<&str>) -> Markup {
    let content = html! {
        main {
            h1 { "Muster" }
            @if let Some(problem) = problem { p.warning role="alert" { (problem) } }
            @if rules.tokens.is_empty() {
                p { "No token is configured: everybody on this machine may read, and nobody may change anything." }
                p { code { "muster token NAME --role operator" } " prints a token for " code { "http.tokens_file" } "." }
                p { a href="/" { "Overview" } }
            } @else if !rules.is_private(peer) {
                p.warning { (NOT_PRIVATE) }
            } @else {
                form.stacked action="/login" method="post" {
                    input type="hidden" name="next" value=(local(next));
                    label for="token" { "Token" }
                    // Password managers store what they fill in under a name.
                    input type="text" autocomplete="username" value="muster" hidden;
                    input #token name="token" type="password" required autofocus autocomplete="current-password"
                        aria-describedby="whence";
                    p #whence.hint { code { "muster token NAME" } " prints a token for " code { "http.tokens_file" } "." }
                    button { "Log in" }
                }
            }
        }
    };
    document("Log in", &html! {}, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_never_leads_to_another_site() {
        assert_eq!(local("/batches?name=a%20b"), "/batches?name=a%20b");
        for next in [
            "",
            "batches",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nSet-Cookie: x",
            "/\t/evil",
        ] {
            assert_eq!(local(next), "/", "{next:?}");
        }
    }
}
