//! The roles as extractors: a handler that takes one is called only for who has that role.

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::{Admitted, Identity};
use crate::config::http::AccessRole;
use crate::http::api;
use crate::http::page::problem_page;
use crate::http::problem::Problem;

/// Somebody who may read.
#[derive(Clone, Debug)]
pub struct Viewer(pub Identity);

/// Somebody who may read and change.
#[derive(Clone, Debug)]
pub struct Operator(pub Identity);

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        identify(parts, AccessRole::Viewer).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        identify(parts, AccessRole::Operator).map(Self)
    }
}

#[expect(clippy::result_large_err, reason = "a rejection of axum is a response")]
fn identify(parts: &Parts, needed: AccessRole) -> Result<Identity, Response> {
    let identity = parts.extensions.get::<Admitted>().and_then(|admitted| admitted.identity.clone());
    match identity {
        Some(identity) if identity.role >= needed => Ok(identity),
        Some(identity) => Err(answer(parts, forbidden(&identity, needed))),
        None if wants_page(parts) => Err(to_login(parts)),
        None => Err(unauthorized("a token is needed").into_response()),
    }
}

fn forbidden(identity: &Identity, needed: AccessRole) -> Problem {
    let detail = format!("{} is {}, and this needs the role {needed}", identity.who, identity.role);
    let hint = "`muster token NAME --role operator` prints a token for `http.tokens_file`; log in with it";
    Problem::new(StatusCode::FORBIDDEN, detail).with_hint(hint)
}

/// Creates the answer to somebody unknown.
pub(super) fn unauthorized(detail: &str) -> Problem {
    let hint = "send `Authorization: Bearer TOKEN`, or log in at /login";
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_hint(hint)
}

fn to_login(parts: &Parts) -> Response {
    // Only a page can be returned to: a form must be sent again.
    let next = if super::same_origin::is_safe(&parts.method) {
        parts.uri.path_and_query().map_or("/", |path| path.as_str())
    } else {
        "/"
    };
    Redirect::to(&crate::http::page::address("/login", &[("next", next)])).into_response()
}

fn answer(parts: &Parts, problem: Problem) -> Response {
    if wants_page(parts) { problem_page(problem) } else { problem.into_response() }
}

/// Returns whether a browser shows the answer.
fn wants_page(parts: &Parts) -> bool {
    !parts.uri.path().starts_with(api::PREFIX) && accepts_html(&parts.headers)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_none_or(|value| value.contains("text/html"))
}

/// Adds the challenge to an answer with status 401.
pub(super) fn challenge(response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}
