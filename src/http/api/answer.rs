//! What handlers return, and the size of a page.

use axum::Json;
use axum::http::StatusCode;

use crate::http::problem::Problem;

/// Maximum size of a page.
const PAGE_MAX: u32 = 1000;

/// The result of a handler.
pub(super) type Answer<T> = Result<Json<T>, Problem>;

/// Checks the size of a page; 50 if none is given.
pub(super) fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(50) {
        n @ 1..=PAGE_MAX => Ok(n),
        n => Err(Problem::new(StatusCode::BAD_REQUEST, format!("`limit` is {n}, expected 1 to {PAGE_MAX}"))),
    }
}
