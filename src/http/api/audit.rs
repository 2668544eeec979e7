//! The audit log.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, page_size};
use crate::http::guard::Viewer;
use crate::http::problem::Problem;
use crate::http::request::Params;
use crate::http::site::Site;
use crate::operator::audit_log::{AuditLine, audit_lines};

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(audit))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// Maximum number of entries, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Lists only entries with a lower number: the next page.
    before: Option<i64>,
}

/// What operators changed, the latest first.
#[utoipa::path(
    get, path = "/audit", tag = "audit", security(("viewer" = [])), params(AuditParams),
    responses((status = OK, body = [AuditLine]), (status = "default", body = Problem))
)]
async fn audit(_: Viewer, State(site): State<Site>, Params(params): Params<AuditParams>) -> Answer<Vec<AuditLine>> {
    Ok(Json(audit_lines(&site.ledger, params.before, page_size(params.limit)?).await?))
}
