//! The HTTP API, version 1: every question and every change that the commands offer operators.
//!
//! A handler checks the role by its extractor, calls a function of [`operator`](crate::operator), and returns its
//! result as JSON. Errors are problem details (RFC 9457). Long lists are paged by key: `next` of one page is the
//! position from which the next one starts.

mod answer;
mod audit;
pub(in crate::http) mod batches;
mod certificates;
mod changes;
mod document;
mod fleet;
mod holds;
pub(in crate::http) mod pauses;
pub(in crate::http) mod replays;

use axum::Json;
use axum::http::Method;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;

use super::guard::{Route, Routes, Viewer};
use super::site::Site;
use crate::config::http::AccessRole;

/// Where the API begins.
pub const PREFIX: &str = "/api/v1";

/// Returns the routes and the `OpenAPI` document that describes them.
pub fn routes() -> (Routes<Site>, Document) {
    let (router, mut document) = OpenApiRouter::with_openapi(document::beginning())
        .nest(
            PREFIX,
            OpenApiRouter::new()
                .merge(fleet::routes())
                .merge(batches::routes())
                .merge(certificates::routes())
                .merge(holds::routes())
                .merge(pauses::routes())
                .merge(replays::routes())
                .merge(changes::routes())
                .merge(audit::routes()),
        )
        .split_for_parts();
    document::complete(&mut document);
    let served = document.clone();
    let openapi = async move |_: Viewer| Json(served.clone());
    let routes = Routes::new().merge(router, listed(&document)).get(&format!("{PREFIX}/openapi.json"), openapi);
    (routes, document)
}

/// Returns the routes that a document describes, each with the role that its `security` names.
fn listed(document: &Document) -> Vec<Route> {
    let described = serde_json::to_value(&document.paths).expect("paths are plain values");
    let mut list = Vec::new();
    for (path, operations) in described.as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let Ok(method) = method.to_ascii_uppercase().parse::<Method>() else { continue };
            let needs = ["viewer", "operator"].into_iter().find(|role| operation["security"][0].get(role).is_some());
            let needs = needs.and_then(|role| role.parse::<AccessRole>().ok());
            list.push(Route { method, path: path.clone(), needs });
        }
    }
    list
}
