//! The list of batches.

use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use strum::VariantArray;

use super::frame::{Frame, PageResult, Section};
use super::parts::{Parts, day, number, number_or_unknown, time_or_none};
use crate::http::document::{address, path};
use crate::http::guard::Viewer;
use crate::http::problem::Problem;
use crate::http::request::Params;
use crate::http::site::Site;
use crate::ledger::batch::{BatchFilter, BatchState};
use crate::operator::status::{BatchListing, ListedBatch};
use muster_core::job::Name;

/// Batches on one page.
const LIMIT: u32 = 50;

/// The filter, as it stands in the address: empty fields of the form count as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BatchesParams {
    before: Option<Name>,
    name: String,
    source: String,
    state: String,
    /// A day, such as 2026-11-28.
    since: String,
    until: String,
}

pub(super) async fn list(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<BatchesParams>,
) -> PageResult {
    let listing = BatchListing::read(&site.ledger, &params.filter()?, params.before.as_ref(), LIMIT).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Batches };
    let content = html! {
        h1 { "Batches" }
        (form(&params))
        section #batches data-live {
            @if listing.batches.is_empty() { p { "No batch matches." } } @else { (table(&listing.batches)) }
        }
        @if let Some(next) = &listing.next { p { a rel="next" href=(params.next(next)) { "Older batches" } } }
    };
    frame.render("Batches", &content).await
}

fn form(params: &BatchesParams) -> Markup {
    html! {
        form.filters action="/batches" method="get" {
            label { "Name" input name="name" value=(params.name); }
            label { "Factory line" input name="source" value=(params.source); }
            label {
                "State"
                select name="state" {
                    option value="" { "all" }
                    @for state in BatchState::VARIANTS {
                        option value=(state) selected[params.state == state.to_string()] { (state) }
                    }
                }
            }
            label { "First seen from" input name="since" type="date" value=(params.since); }
            label { "before" input name="until" type="date" value=(params.until); }
            button { "Filter" }
        }
    }
}

fn table(batches: &[ListedBatch]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Batches" tabindex="0" { table {
            thead {
                tr {
                    th { "batch" } th.wide { "progress" } th.n { "announced" } th.n { "outcomes" } th.n { "failed" }
                    th.n { "parked" } th.n { "outstanding" } th { "first outcome" } th { "last outcome" }
                }
            }
            tbody {
                @for batch in batches {
                    tr {
                        td { a href={ "/batches/" (path(&batch.batch)) } { (batch.batch) } }
                        td.wide { (parts(batch).bar()) }
                        td.n { (number_or_unknown(batch.announced)) }
                        td.n { (number(batch.finished)) }
                        td.n { (number(batch.failed)) }
                        td.n { (number(batch.parked)) }
                        td.n {
                            (number_or_unknown(batch.outstanding))
                            @if batch.missing.is_some_and(|n| n > 0) { " " strong { "missing" } }
                        }
                        td { (time_or_none(batch.first_outcome_at)) }
                        td { (time_or_none(batch.last_outcome_at)) }
                    }
                }
            }
        } }
    }
}

fn parts(batch: &ListedBatch) -> Parts {
    Parts {
        registered: batch.finished - batch.failed,
        failed: batch.failed,
        parked: batch.parked,
        being_resent: 0,
        outstanding: batch.outstanding.unwrap_or(0),
        is_missing: batch.missing.is_some_and(|n| n > 0),
    }
}

impl BatchesParams {
    fn filter(&self) -> Result<BatchFilter, Problem> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let wrong = |state: &str| Problem::new(StatusCode::BAD_REQUEST, format!("there is no state `{state}`"));
        Ok(BatchFilter {
            name: text(&self.name),
            source: text(&self.source),
            state: text(&self.state).map(|state| state.parse().map_err(|_| wrong(&state))).transpose()?,
            since: day(&self.since)?,
            until: day(&self.until)?,
        })
    }

    /// Returns the address of the next page, with the same filter.
    fn next(&self, before: &str) -> String {
        let Self { name, source, state, since, until, .. } = self;
        let fields = [
            ("before", before),
            ("name", name),
            ("source", source),
            ("state", state),
            ("since", since),
            ("until", until),
        ];
        address("/batches", &fields)
    }
}
