//! Logging in with a token, and out.

use std::time::Duration;

use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::session::{SessionId, cookie, no_cookie};
use super::{Admitted, Gate, Peer, Rules};
use crate::http::document::document;
use crate::http::problem::Problem;
use crate::http::request::{Fields, Params};
use crate::ledger::session::Session;

/// Longest time for the body of a login: anybody may send one.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

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
    request: Request,
) -> Result<Response, Problem> {
    let too_slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the login form did not arrive within 5 s");
    let fields = tokio::time::timeout(BODY_TIME_MAX, Fields::from_request(request, &())).await.map_err(too_slow)?;
    let Fields(fields): Fields<LoginFields> = fields?;
    let peer = admitted.peer;
    let Some(id) = rules.log_in(peer, fields.token.trim()).await? else {
        let form = page(&rules, peer, &fields.next, Some("This token is not valid."));
        return Ok((StatusCode::UNAUTHORIZED, form).into_response());
    };
    let cookie = id.cookie(rules.session, peer.is_https);
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to(local(&fields.next))).into_response())
}

/// Closes the session.
pub(super) async fn log_out(
    State(Gate(rules)): State<Gate>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let peer = admitted.peer;
    if let Some(key) = cookie(&headers, peer.is_https) {
        // If this fails, the session lives on, and the reader must know.
        rules.ledger.close_session(&key, &peer.address.to_string()).await?;
    }
    Ok((AppendHeaders([(SET_COOKIE, no_cookie(peer.is_https))]), Redirect::to("/login")).into_response())
}

impl Rules {
    /// Opens a session; `None`: the token is wrong.
    async fn log_in(&self, peer: Peer, token: &str) -> Result<Option<SessionId>, Problem> {
        if !self.is_private(peer) {
            return Err(Problem::new(StatusCode::FORBIDDEN, NOT_PRIVATE));
        }
        self.check_wait(peer, token)?;
        let Some(token) = self.tokens.find(token) else {
            self.note_failure(peer, token).await;
            return Ok(None);
        };
        let id = SessionId::random();
        let session = Session { who: token.who.clone(), role: token.role.to_string(), token: token.fingerprint() };
        self.ledger.open_session(&id.key(), &session, self.session, &peer.address.to_string()).await?;
        Ok(Some(id))
    }
}

const NOT_PRIVATE: &str = "A login needs TLS, or a browser on the same machine: the token could be read on the way.";

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
                p { "No token is configured: whoever is on this machine may read, and nobody may change anything." }
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
