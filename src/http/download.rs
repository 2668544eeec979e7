//! Downloads: the outcomes of a batch as a file, streamed page by page.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::problem::Problem;
use super::site::Site;
use crate::ledger::outcomes::{OutcomeFilter, OutcomePages};
use crate::operator::export::ExportFormat;
use crate::operator::status::counters;
use muster_core::job::Name;

/// Streams the wanted outcomes of a batch. An error after the first page ends the connection, so that nobody takes a part
/// for the whole.
///
/// # Errors
/// The ledger does not know the batch, or cannot be read.
pub(super) async fn outcomes(
    site: &Site,
    batch: Name,
    format: ExportFormat,
    filter: OutcomeFilter,
) -> Result<Response, Problem> {
    let counts = counters(&site.ledger, &batch).await?.counts;
    let pages = OutcomePages::open(&site.ledger, batch.as_str(), filter, &counts).await?;
    let mut titles = Vec::new();
    format.begin(&mut titles).map_err(anyhow::Error::from)?;
    let name =
        format!("attachment; filename=\"outcomes.{}\"", if format == ExportFormat::Csv { "csv" } else { "jsonl" });
    let headers = [(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, name)];
    let ledger = site.ledger.clone();
    let rows = stream::try_unfold((pages, titles), move |(mut pages, mut chunk)| {
        let (ledger, batch) = (ledger.clone(), batch.clone());
        async move {
            let Some(page) = pages.next_page(&ledger).await.map_err(anyhow::Error::from)? else {
                // The titles, if there was no page.
                let rest = (!chunk.is_empty()).then(|| (Bytes::from(chunk), (pages, Vec::new())));
                return anyhow::Ok(rest);
            };
            format.write_page(&mut chunk, &batch, &page)?;
            Ok(Some((Bytes::from(chunk), (pages, Vec::new()))))
        }
    });
    Ok((headers, Body::from_stream(rows)).into_response())
}
