//! Pauses of all workers, a target or a batch.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use crate::http::guard::Operator;
use crate::http::problem::Problem;
use crate::http::request::Body;
use crate::http::site::Site;
use crate::operator::pausing::{self, PauseOrder, PauseScope, ScopeKind};
use muster_core::job::Name;

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(pause)).routes(routes!(resume))
}

/// What to pause, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PauseRequest {
    /// The kind of scope.
    scope: ScopeKind,
    /// Name of the target or batch. Absent: the scope is `all`.
    #[schema(value_type = Option<String>)]
    name: Option<Name>,
    /// The reason, shown with the hold.
    #[serde(default)]
    reason: String,
}

/// What to resume.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ResumeRequest {
    /// The kind of scope.
    scope: ScopeKind,
    /// Name of the target or batch. Absent: the scope is `all`.
    #[schema(value_type = Option<String>)]
    name: Option<Name>,
}

/// The result of a pause or a resume.
#[derive(Debug, Serialize, ToSchema)]
struct PauseResult {
    /// What was paused or resumed, for people.
    what: String,
    /// Whether the request changed anything.
    changed: bool,
}

/// Pauses all workers, one target or one batch. A pause takes effect within a second.
#[utoipa::path(
    post, path = "/pause", tag = "pauses", security(("operator" = [])), request_body = PauseRequest,
    responses((status = OK, body = PauseResult), (status = "default", body = Problem))
)]
async fn pause(operator: Operator, State(site): State<Site>, Body(request): Body<PauseRequest>) -> Answer<PauseResult> {
    let (scope, changed) = request.carry_out(&site, &operator).await?;
    Ok(Json(PauseResult { what: scope.to_string(), changed }))
}

impl PauseRequest {
    /// Pauses; returns what, and whether it was not paused before.
    pub(in crate::http) async fn carry_out(
        self,
        site: &Site,
        operator: &Operator,
    ) -> Result<(PauseScope, bool), Problem> {
        let scope = PauseScope::new(self.scope, self.name).map_err(anyhow::Error::from)?;
        let reason = Some(self.reason.trim()).filter(|reason| !reason.is_empty()).unwrap_or("no reason given");
        let order = PauseOrder { scope: &scope, reason, is_new: false, who: &operator.0.who };
        let is_new = pausing::pause(&site.config, &site.ledger, &order).await?;
        Ok((scope, is_new))
    }
}

impl ResumeRequest {
    /// Resumes; returns what.
    pub(in crate::http) async fn carry_out(self, site: &Site, operator: &Operator) -> Result<PauseScope, Problem> {
        let scope = PauseScope::new(self.scope, self.name).map_err(anyhow::Error::from)?;
        pausing::resume(&site.ledger, &scope, &operator.0.who).await?;
        Ok(scope)
    }
}

/// Resumes what was paused: the parked jobs are resent.
#[utoipa::path(
    post, path = "/resume", tag = "pauses", security(("operator" = [])), request_body = ResumeRequest,
    responses((status = OK, body = PauseResult), (status = "default", body = Problem))
)]
async fn resume(
    operator: Operator,
    State(site): State<Site>,
    Body(request): Body<ResumeRequest>,
) -> Answer<PauseResult> {
    let scope = request.carry_out(&site, &operator).await?;
    Ok(Json(PauseResult { what: scope.to_string(), changed: true }))
}
