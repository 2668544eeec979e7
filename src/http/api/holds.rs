//! Holds: what parked jobs wait for.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::http::guard::{Operator, Viewer};
use crate::http::problem::Problem;
use crate::http::request::Body;
use crate::http::site::Site;
use crate::operator::holds::{self, HoldLine};
use muster_core::hold::HoldKey;

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(release))
}

/// What parked jobs wait for, the oldest first, with the command that fixes it.
#[utoipa::path(
    get, path = "/holds", tag = "holds", security(("viewer" = [])),
    responses((status = OK, body = [HoldLine]), (status = "default", body = Problem))
)]
async fn list(_: Viewer, State(site): State<Site>) -> Answer<Vec<HoldLine>> {
    Ok(Json(holds::holds(&site.ledger).await?))
}

/// The hold to release.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReleaseOrder {
    /// Its key, as listed.
    hold: String,
}

/// Releases a hold: the workers resend its jobs.
#[utoipa::path(
    post, path = "/holds/release", tag = "holds", security(("operator" = [])), request_body = ReleaseOrder,
    responses((status = OK, body = [HoldLine]), (status = "default", body = Problem))
)]
async fn release(
    operator: Operator,
    State(site): State<Site>,
    Body(order): Body<ReleaseOrder>,
) -> Answer<Vec<HoldLine>> {
    holds::release(&site.ledger, HoldKey::read(order.hold), &operator.0.who).await?;
    Ok(Json(holds::holds(&site.ledger).await?))
}
