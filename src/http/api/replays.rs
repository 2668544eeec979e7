//! Replays: plan, start, follow, cancel.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, page_size};
use crate::http::guard::{Operator, Viewer};
use crate::http::problem::Problem;
use crate::http::request::{Body, Params, PathOf};
use crate::http::site::Site;
use crate::operator::replays::{self, ReplayOrder, ReplayPlan, ReplayReport};

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(plan))
        .routes(routes!(planned))
        .routes(routes!(show))
        .routes(routes!(cancel))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplayParams {
    /// Maximum number of replays, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Lists only replays with a lower number: the next page.
    before: Option<i64>,
}

/// The replays, the latest first, without their outcomes.
#[utoipa::path(
    get, path = "/replays", tag = "replays", security(("viewer" = [])), params(ReplayParams),
    responses((status = OK, body = [ReplayReport]), (status = "default", body = Problem))
)]
async fn list(_: Viewer, State(site): State<Site>, Params(params): Params<ReplayParams>) -> Answer<Vec<ReplayReport>> {
    Ok(Json(replays::replays(&site.ledger, params.before, page_size(params.limit)?).await?))
}

/// The progress and the outcomes of a replay.
#[utoipa::path(
    get, path = "/replays/{number}", tag = "replays", security(("viewer" = [])),
    params(("number" = i64, Path, description = "Number of the replay")),
    responses((status = OK, body = ReplayReport), (status = "default", body = Problem))
)]
async fn show(_: Viewer, State(site): State<Site>, PathOf(number): PathOf<i64>) -> Answer<ReplayReport> {
    Ok(Json(ReplayReport::read(&site.ledger, number).await?))
}

/// Plans a replay: freezes the selection and counts what it would resend. Resends nothing.
#[utoipa::path(
    post, path = "/replays/plans", tag = "replays", security(("operator" = [])), request_body = ReplayOrder,
    responses((status = OK, body = ReplayPlan), (status = "default", body = Problem))
)]
async fn plan(operator: Operator, State(site): State<Site>, Body(order): Body<ReplayOrder>) -> Answer<ReplayPlan> {
    Ok(Json(ReplayPlan::make(&site.config, &site.ledger, &order, &operator.0.who).await?))
}

/// A plan, and what it would resend now.
#[utoipa::path(
    get, path = "/replays/plans/{plan}", tag = "replays", security(("operator" = [])),
    params(("plan" = String, Path, description = "Id of the plan")),
    responses((status = OK, body = ReplayPlan), (status = "default", body = Problem))
)]
async fn planned(_: Operator, State(site): State<Site>, PathOf(id): PathOf<String>) -> Answer<ReplayPlan> {
    Ok(Json(ReplayPlan::read(&site.config, &site.ledger, &id).await?))
}

/// The plan to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StartOrder {
    /// Id of the plan.
    pub(in crate::http) plan: String,
    /// Its `expected`, if `needs_confirmation` is true.
    pub(in crate::http) confirm: Option<u64>,
}

/// Starts a planned replay. Starting it twice starts one replay.
#[utoipa::path(
    post, path = "/replays", tag = "replays", security(("operator" = [])), request_body = StartOrder,
    responses((status = OK, body = ReplayReport), (status = "default", body = Problem))
)]
async fn start(operator: Operator, State(site): State<Site>, Body(order): Body<StartOrder>) -> Answer<ReplayReport> {
    let number = replays::start(&site.ledger, &order.plan, order.confirm, &operator.0.who).await?;
    Ok(Json(ReplayReport::read(&site.ledger, number).await?))
}

/// Cancels a replay: nothing more is sent. Jobs already sent are still processed.
#[utoipa::path(
    post, path = "/replays/{number}/cancel", tag = "replays", security(("operator" = [])),
    params(("number" = i64, Path, description = "Number of the replay")),
    responses((status = OK, body = ReplayReport), (status = "default", body = Problem))
)]
async fn cancel(operator: Operator, State(site): State<Site>, PathOf(number): PathOf<i64>) -> Answer<ReplayReport> {
    replays::cancel(&site.ledger, number, &operator.0.who).await?;
    Ok(Json(ReplayReport::read(&site.ledger, number).await?))
}
