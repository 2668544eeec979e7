//! Shows a problem the way its reader can use it: JSON for programs, a page for people, the login form for strangers.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::same_origin;
use crate::http::document::{address, problem_page};
use crate::http::problem::Problem;

/// Where the API begins, whatever its version.
const API: &str = "/api";

/// Replaces a problem by a page or the login form if a browser shows the answer.
pub(super) async fn present(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let reader = Reader::of(&parts);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| bare(&response));
    let Some(problem) = problem else { return response };
    let allowed = response.headers().get(ALLOW).cloned();
    let mut response = reader.show(problem);
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Returns the problem of an error that has no body, such as the router's own 405.
fn bare(response: &Response) -> Option<Problem> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let detail = match status {
        StatusCode::NOT_FOUND => "there is nothing at this address",
        StatusCode::METHOD_NOT_ALLOWED => "this method is not possible at this address",
        _ => "the request failed",
    };
    (is_error && !response.headers().contains_key(CONTENT_TYPE)).then(|| Problem::new(status, detail))
}

/// What reads an answer.
enum Reader {
    Program,
    /// A person who may be sent to the login form and comes back to `next`.
    Person {
        next: String,
    },
}

impl Reader {
    fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let is_api = path.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let accept = parts.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut accept = accept.flat_map(|value| value.split([',', ';'])).map(str::trim);
        // Whoever sends a token knows what to do with an error.
        if is_api || parts.headers.contains_key(AUTHORIZATION) || !accept.any(|kind| kind == "text/html") {
            return Self::Program;
        }
        // Only a page can be returned to: a form must be sent again.
        let is_page = same_origin::is_safe(&parts.method);
        let next = parts.uri.path_and_query().map(ToString::to_string).filter(|_| is_page);
        Self::Person { next: next.unwrap_or_else(|| "/".to_owned()) }
    }

    fn show(self, problem: Problem) -> Response {
        match self {
            Self::Program => problem.into_response(),
            Self::Person { next } if problem.status == StatusCode::UNAUTHORIZED => {
                Redirect::to(&address("/login", &[("next", &next)])).into_response()
            }
            Self::Person { .. } => problem_page(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    fn next(method: Method, target: &str, accept: &[&str]) -> Option<String> {
        let request = Request::builder().method(method).uri(target);
        let request = accept.iter().fold(request, |request, value| request.header(ACCEPT, *value));
        match Reader::of(&request.body(()).unwrap().into_parts().0) {
            Reader::Program => None,
            Reader::Person { next } => Some(next),
        }
    }

    #[test]
    fn people_are_told_from_programs_by_what_they_accept() {
        let html = &["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"][..];
        assert_eq!(next(Method::GET, "/batches?a=b", html).as_deref(), Some("/batches?a=b"));
        assert_eq!(next(Method::GET, "/apiary", html).as_deref(), Some("/apiary"));
        assert_eq!(next(Method::POST, "/pause", html).as_deref(), Some("/"));
        for (target, accept) in [
            ("/batches", &["*/*"][..]),
            ("/batches", &[]),
            ("/batches", &["application/json"]),
            ("/api/v1/batches", html),
            ("/api", html),
        ] {
            assert_eq!(next(Method::GET, target, accept), None, "{target} {accept:?}");
        }
    }
}
