//! Batches and their failures.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, page_size};
use crate::http::download;
use crate::http::guard::Viewer;
use crate::http::problem::Problem;
use crate::http::request::{Params, PathOf};
use crate::http::site::Site;
use crate::ledger::batch::{BatchFilter, BatchState};
use crate::ledger::outcomes::OutcomeFilter;
use crate::operator::export::ExportFormat;
use crate::operator::failures::{CodeFailures, FailurePage, FailureQuery, failures_by_code, failures_of_batch};
use crate::operator::status::{BatchListing, BatchReport, StatusQuery};
use muster_core::job::Name;
use muster_core::outcome::{Code, Status};

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(failures))
        .routes(routes!(all_failures))
        .routes(routes!(export))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct BatchParams {
    /// Maximum number of batches, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::http) limit: Option<u32>,
    /// Lists only batches older than this one: the next page.
    #[param(value_type = Option<String>)]
    pub(in crate::http) before: Option<Name>,
    /// Only batches whose name contains this text.
    pub(in crate::http) name: Option<String>,
    /// Only batches with a job of this factory line.
    pub(in crate::http) source: Option<String>,
    /// Only batches in this state.
    pub(in crate::http) state: Option<BatchState>,
    /// Only batches first seen at this time or later (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(in crate::http) since: Option<OffsetDateTime>,
    /// Only batches first seen before this time (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(in crate::http) until: Option<OffsetDateTime>,
}

impl BatchParams {
    /// Returns the filter.
    pub(in crate::http) fn filter(&self) -> BatchFilter {
        BatchFilter {
            name: self.name.clone(),
            source: self.source.clone(),
            state: self.state,
            since: self.since,
            until: self.until,
        }
    }
}

/// The batches, the newest first, with the state of the fleet.
#[utoipa::path(
    get, path = "/batches", tag = "batches", security(("viewer" = [])), params(BatchParams),
    responses((status = OK, body = BatchListing), (status = "default", body = Problem))
)]
async fn list(_: Viewer, State(site): State<Site>, Params(params): Params<BatchParams>) -> Answer<BatchListing> {
    let (filter, limit) = (params.filter(), page_size(params.limit)?);
    Ok(Json(BatchListing::read(&site.ledger, &filter, params.before.as_ref(), limit).await?))
}

/// The progress of a batch: outcomes, failures by code with an example each, parked jobs, rates and the time left.
#[utoipa::path(
    get, path = "/batches/{batch}", tag = "batches", security(("viewer" = [])),
    params(("batch" = String, Path, description = "Name of the batch")),
    responses((status = OK, body = BatchReport), (status = "default", body = Problem))
)]
async fn show(_: Viewer, State(site): State<Site>, PathOf(batch): PathOf<Name>) -> Answer<BatchReport> {
    let query = StatusQuery { config: &site.config, ledger: &site.ledger, batch: &batch };
    Ok(Json(query.measure(std::time::Duration::ZERO).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct FailureParams {
    /// The code of the failures.
    #[param(value_type = String)]
    pub(in crate::http) code: Code,
    /// Maximum number of certificates, 1 to 1000; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::http) limit: Option<u32>,
    /// `next` of the previous page.
    pub(in crate::http) after: Option<String>,
}

impl FailureParams {
    /// Returns the question.
    pub(in crate::http) fn query(&self, batch: Name) -> Result<FailureQuery, Problem> {
        let wrong = |detail: &str| Problem::new(axum::http::StatusCode::BAD_REQUEST, format!("`after`: {detail}"));
        let after = self.after.as_deref().map(str::parse).transpose().map_err(wrong)?;
        Ok(FailureQuery { batch, code: self.code, after, limit: page_size(self.limit)? })
    }
}

/// The failed or parked certificates of a batch with one code.
#[utoipa::path(
    get, path = "/batches/{batch}/failures", tag = "batches", security(("viewer" = [])),
    params(("batch" = String, Path, description = "Name of the batch"), FailureParams),
    responses((status = OK, body = FailurePage), (status = "default", body = Problem))
)]
async fn failures(
    _: Viewer,
    State(site): State<Site>,
    PathOf(batch): PathOf<Name>,
    Params(params): Params<FailureParams>,
) -> Answer<FailurePage> {
    Ok(Json(failures_of_batch(&site.ledger, &params.query(batch)?).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AllFailuresParams {
    /// Only batches with a failure of the code at this time or later (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
}

/// The failures of all batches by code, the most frequent first.
#[utoipa::path(
    get, path = "/failures", tag = "batches", security(("viewer" = [])), params(AllFailuresParams),
    responses((status = OK, body = [CodeFailures]), (status = "default", body = Problem))
)]
async fn all_failures(
    _: Viewer,
    State(site): State<Site>,
    Params(params): Params<AllFailuresParams>,
) -> Answer<Vec<CodeFailures>> {
    Ok(Json(failures_by_code(&site.ledger, params.since).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportParams {
    /// The format; default `csv`.
    #[serde(default)]
    format: ExportFormat,
    /// Only outcomes with this status.
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    /// Only outcomes with this code.
    #[param(value_type = Option<String>)]
    code: Option<Code>,
    /// Only outcomes of this factory line.
    #[param(value_type = Option<String>)]
    source: Option<Name>,
}

/// The outcomes of a batch as a file, ordered by target, operation and certificate.
#[utoipa::path(
    get, path = "/batches/{batch}/export", tag = "batches", security(("viewer" = [])),
    params(("batch" = String, Path, description = "Name of the batch"), ExportParams),
    responses(
        (status = OK, description = "One line per outcome", content((String = "text/csv"), (String = "application/jsonl"))),
        (status = "default", body = Problem)
    )
)]
async fn export(
    _: Viewer,
    State(site): State<Site>,
    PathOf(batch): PathOf<Name>,
    Params(params): Params<ExportParams>,
) -> Result<Response, Problem> {
    let filter = OutcomeFilter {
        statuses: params.status.into_iter().collect(),
        codes: params.code.into_iter().collect(),
        sources: params.source.into_iter().collect(),
    };
    download::outcomes(&site, batch, params.format, filter).await
}
