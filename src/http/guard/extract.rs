//! The roles as extractors: a handler that takes one is called only for who has that role.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::{Admitted, Identity};
use crate::config::http::AccessRole;
use crate::http::problem::Problem;

/// Somebody who may read.
#[derive(Clone, Debug)]
pub struct Viewer(pub Identity);

/// Somebody who may read and change.
#[derive(Clone, Debug)]
pub struct Operator(pub Identity);

/// Anybody, known or not: for what is public.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        identify(parts, AccessRole::Viewer).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        identify(parts, AccessRole::Operator).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self)
    }
}

fn identify(parts: &Parts, needed: AccessRole) -> Result<Identity, Problem> {
    let identity = parts.extensions.get::<Admitted>().and_then(|admitted| admitted.identity.clone());
    let identity = identity.ok_or_else(|| unauthorized("a token is needed"))?;
    if identity.role >= needed { Ok(identity) } else { Err(forbidden(&identity, needed)) }
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
