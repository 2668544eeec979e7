//! Quarantine, dead letters, and bulk changes of both.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, page_size};
use super::replays::StartOrder;
use crate::http::guard::{Operator, Viewer};
use crate::http::problem::Problem;
use crate::http::request::{Body, Params, PathOf};
use crate::http::site::Site;
use crate::operator::bulk::{self, ChangePlan, ChangeView, MessageOrder};
use crate::operator::dead::{self, DeadQueues, ListedLetter};
use crate::operator::quarantine::QuarantinePage;

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(quarantine))
        .routes(routes!(dead_letters))
        .routes(routes!(list, start))
        .routes(routes!(plan))
        .routes(routes!(planned))
        .routes(routes!(show))
        .routes(routes!(cancel))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QuarantineParams {
    /// Maximum number of messages, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Only messages quarantined for this reason.
    reason: Option<String>,
    /// `next` of the previous page.
    after: Option<String>,
}

/// The quarantined messages, without their bodies.
#[utoipa::path(
    get, path = "/quarantine", tag = "messages", security(("viewer" = [])), params(QuarantineParams),
    responses((status = OK, body = QuarantinePage), (status = "default", body = Problem))
)]
async fn quarantine(
    _: Viewer,
    State(site): State<Site>,
    Params(params): Params<QuarantineParams>,
) -> Answer<QuarantinePage> {
    let wrong = |detail: &str| Problem::new(axum::http::StatusCode::BAD_REQUEST, format!("`after`: {detail}"));
    let after = params.after.as_deref().map(str::parse).transpose().map_err(wrong)?;
    let limit = page_size(params.limit)?;
    Ok(Json(QuarantinePage::read(&site.ledger, params.reason.as_deref(), after.as_ref(), limit).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeadParams {
    /// Maximum number of messages, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The messages in the dead-letter queues, without their bodies. Receives them from SQS and releases them again.
#[utoipa::path(
    post, path = "/dead-letters/list", tag = "messages", security(("viewer" = [])), params(DeadParams),
    responses((status = OK, body = [ListedLetter]), (status = "default", body = Problem))
)]
async fn dead_letters(
    _: Viewer,
    State(site): State<Site>,
    Params(params): Params<DeadParams>,
) -> Answer<Vec<ListedLetter>> {
    let queues = DeadQueues::open(&site.config, None).await?;
    let limit = page_size(params.limit)? as usize;
    Ok(Json(dead::list(&site.config, &queues, limit, &CancellationToken::new()).await?))
}

/// Plans a change of messages: freezes the selection and counts it. Changes nothing.
#[utoipa::path(
    post, path = "/changes/plans", tag = "messages", security(("operator" = [])), request_body = MessageOrder,
    responses((status = OK, body = ChangePlan), (status = "default", body = Problem))
)]
async fn plan(operator: Operator, State(site): State<Site>, Body(order): Body<MessageOrder>) -> Answer<ChangePlan> {
    Ok(Json(bulk::plan(&site.config, &site.ledger, &order, &operator.0.who).await?))
}

/// A planned change of messages.
#[utoipa::path(
    get, path = "/changes/plans/{plan}", tag = "messages", security(("operator" = [])),
    params(("plan" = String, Path, description = "Id of the plan")),
    responses((status = OK, body = ChangePlan), (status = "default", body = Problem))
)]
async fn planned(_: Operator, State(site): State<Site>, PathOf(id): PathOf<String>) -> Answer<ChangePlan> {
    Ok(Json(bulk::planned(&site.ledger, &id).await?))
}

/// Starts a planned change; it continues in the background. Starting it twice starts it once.
#[utoipa::path(
    post, path = "/changes", tag = "messages", security(("operator" = [])), request_body = StartOrder,
    responses((status = OK, body = ChangeView), (status = "default", body = Problem))
)]
async fn start(operator: Operator, State(site): State<Site>, Body(order): Body<StartOrder>) -> Answer<ChangeView> {
    let who = &operator.0.who;
    Ok(Json(bulk::start(&site.config, &site.ledger, &order.plan, order.confirm, who).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChangeParams {
    /// Maximum number of changes, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Lists only changes started before this one: the next page.
    before: Option<String>,
}

/// The bulk changes that were started, the latest first.
#[utoipa::path(
    get, path = "/changes", tag = "messages", security(("viewer" = [])), params(ChangeParams),
    responses((status = OK, body = [ChangeView]), (status = "default", body = Problem))
)]
async fn list(_: Viewer, State(site): State<Site>, Params(params): Params<ChangeParams>) -> Answer<Vec<ChangeView>> {
    Ok(Json(bulk::changes(&site.ledger, params.before.as_deref(), page_size(params.limit)?).await?))
}

/// The progress and the result of a bulk change.
#[utoipa::path(
    get, path = "/changes/{change}", tag = "messages", security(("viewer" = [])),
    params(("change" = String, Path, description = "Id of the change")),
    responses((status = OK, body = ChangeView), (status = "default", body = Problem))
)]
async fn show(_: Viewer, State(site): State<Site>, PathOf(id): PathOf<String>) -> Answer<ChangeView> {
    Ok(Json(bulk::show(&site.ledger, &id).await?))
}

/// Cancels a bulk change: it stops within seconds. What is done stays done.
#[utoipa::path(
    post, path = "/changes/{change}/cancel", tag = "messages", security(("operator" = [])),
    params(("change" = String, Path, description = "Id of the change")),
    responses((status = OK, body = ChangeView), (status = "default", body = Problem))
)]
async fn cancel(operator: Operator, State(site): State<Site>, PathOf(id): PathOf<String>) -> Answer<ChangeView> {
    Ok(Json(bulk::cancel(&site.ledger, &id, &operator.0.who).await?))
}
