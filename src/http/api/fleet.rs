//! The fleet: overview, workers, queues, rates, history.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use crate::http::guard::Viewer;
use crate::http::problem::Problem;
use crate::http::request::Params;
use crate::http::site::Site;
use crate::operator::fleet::{self, QueueLine, WorkerLine};
use crate::operator::history::{ChartRange, History};
use crate::operator::overview::Overview;
use crate::operator::status::LearntRate;

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(workers))
        .routes(routes!(queues))
        .routes(routes!(rates))
        .routes(routes!(history))
}

/// What is going on: one sentence, what stops or slows the work, and the parts of the fleet.
#[utoipa::path(
    get, path = "/overview", tag = "fleet", security(("viewer" = [])),
    responses((status = OK, body = Overview), (status = "default", body = Problem))
)]
async fn overview(_: Viewer, State(site): State<Site>) -> Answer<Overview> {
    Ok(Json(Overview::read(&site.ledger).await?))
}

/// The workers that reported in the last day, the latest report first, with their open circuit breakers.
#[utoipa::path(
    get, path = "/workers", tag = "fleet", security(("viewer" = [])),
    responses((status = OK, body = [WorkerLine]), (status = "default", body = Problem))
)]
async fn workers(_: Viewer, State(site): State<Site>) -> Answer<Vec<WorkerLine>> {
    Ok(Json(fleet::workers(&site.ledger).await?))
}

/// What the queues and their dead-letter queues held when a worker last read them.
#[utoipa::path(
    get, path = "/queues", tag = "fleet", security(("viewer" = [])),
    responses((status = OK, body = [QueueLine]), (status = "default", body = Problem))
)]
async fn queues(_: Viewer, State(site): State<Site>) -> Answer<Vec<QueueLine>> {
    Ok(Json(fleet::queues(&site.ledger).await?))
}

/// The quota and the learnt rate of each target and operation, with the last 100 changes.
#[utoipa::path(
    get, path = "/rates", tag = "fleet", security(("viewer" = [])),
    responses((status = OK, body = [LearntRate]), (status = "default", body = Problem))
)]
async fn rates(_: Viewer, State(site): State<Site>) -> Answer<Vec<LearntRate>> {
    Ok(Json(fleet::rates(&site.ledger).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryParams {
    /// The time that the points cover; default `hour`.
    #[serde(default)]
    range: ChartRange,
}

/// Outcomes and throttled calls over time.
#[utoipa::path(
    get, path = "/history", tag = "fleet", security(("viewer" = [])), params(HistoryParams),
    responses((status = OK, body = History), (status = "default", body = Problem))
)]
async fn history(_: Viewer, State(site): State<Site>, Params(params): Params<HistoryParams>) -> Answer<History> {
    Ok(Json(History::read(&site.ledger, params.range).await?))
}
