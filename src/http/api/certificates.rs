//! Certificates: what the ledger knows, and what AWS says.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use crate::http::guard::Viewer;
use crate::http::problem::Problem;
use crate::http::request::{Body, PathOf};
use crate::http::site::Site;
use crate::operator::certificates::{CertificateQuery, ShownCertificate, look_up};

pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(search)).routes(routes!(ask_aws))
}

/// Everything that the ledger knows about a certificate.
#[utoipa::path(
    get, path = "/certificates/{certificate}", tag = "certificates", security(("viewer" = [])),
    params(("certificate" = String, Path, description = "Its id, its serial number, or the producer's name for the device")),
    responses((status = OK, body = ShownCertificate), (status = "default", body = Problem))
)]
async fn show(_: Viewer, State(site): State<Site>, PathOf(text): PathOf<String>) -> Answer<ShownCertificate> {
    Ok(Json(look_up(&site.ledger, &CertificateQuery::of_text(&text)?).await?))
}

/// The certificate to look up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CertificateSearch {
    /// Its id, its serial number, the producer's name for the device, or the certificate itself as PEM.
    certificate: String,
}

/// Everything that the ledger knows about a certificate; like the path, but a PEM text fits too. Changes nothing.
#[utoipa::path(
    post, path = "/certificates/search", tag = "certificates", security(("viewer" = [])),
    request_body = CertificateSearch,
    responses((status = OK, body = ShownCertificate), (status = "default", body = Problem))
)]
async fn search(
    _: Viewer,
    State(site): State<Site>,
    Body(search): Body<CertificateSearch>,
) -> Answer<ShownCertificate> {
    Ok(Json(look_up(&site.ledger, &CertificateQuery::of_text(&search.certificate)?).await?))
}

/// The same, and what AWS says now, at each target that the ledger names. Costs one `DescribeCertificate` call each.
#[utoipa::path(
    post, path = "/certificates/{certificate}/describe", tag = "certificates", security(("viewer" = [])),
    params(("certificate" = String, Path, description = "Its id, its serial number, or the producer's name for the device")),
    responses((status = OK, body = ShownCertificate), (status = "default", body = Problem))
)]
async fn ask_aws(_: Viewer, State(site): State<Site>, PathOf(text): PathOf<String>) -> Answer<ShownCertificate> {
    let mut shown = look_up(&site.ledger, &CertificateQuery::of_text(&text)?).await?;
    shown.ask_aws(&site.config, &site.ledger).await?;
    Ok(Json(shown))
}
