//! Holds: what parked jobs wait for, and the CAs.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use crate::http::guard::{Operator, Viewer};
use crate::http::problem::Problem;
use crate::http::request::Body;
use crate::http::site::Site;
use crate::operator::authorities::CaListing;
use crate::operator::holds::{self, HoldLine};
use muster_core::hold::HoldKey;

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(release)).routes(routes!(cas))
}

/// What parked jobs wait for, the oldest first, with the command that fixes it.
#[utoipa::path(
    get, path = "/holds", tag = "holds", security(("viewer" = [])),
    responses((status = OK, body = [HoldLine]), (status = "default", body = Problem))
)]
async fn list(_: Viewer, State(site): State<Site>) -> Answer<Vec<HoldLine>> {
    Ok(Json(holds::holds(&site.ledger).await?))
}

/// The CAs that the ledger knows, those that jobs wait for, and those that could not be registered. AWS is not asked.
#[utoipa::path(
    get, path = "/cas", tag = "holds", security(("viewer" = [])),
    responses((status = OK, body = CaListing), (status = "default", body = Problem))
)]
async fn cas(_: Viewer, State(site): State<Site>) -> Answer<CaListing> {
    Ok(Json(CaListing::without_aws(&site.ledger, "AWS was not asked").await?))
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
