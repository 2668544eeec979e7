//! The audit log.

use axum::extract::State;
use maud::html;
use serde::Deserialize;

use super::frame::{Frame, PageResult, Section};
use super::parts::time;
use crate::http::guard::Viewer;
use crate::http::request::Params;
use crate::http::site::Site;
use crate::operator::audit_log::audit_lines;

/// Entries on one page.
const LIMIT: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuditParams {
    before: Option<i64>,
}

pub(super) async fn list(viewer: Viewer, State(site): State<Site>, Params(params): Params<AuditParams>) -> PageResult {
    // One more entry shows whether there is a next page.
    let mut lines = audit_lines(&site.ledger, params.before, LIMIT + 1).await?;
    let has_more = lines.len() > LIMIT as usize;
    lines.truncate(LIMIT as usize);
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Audit };
    let content = html! {
        h1 { "Audit" }
        section #audit data-live {
            @if lines.is_empty() { p { "No changes have been recorded yet." } } @else {
            div.scroll role="group" aria-label="Audit" tabindex="0" { table {
                thead { tr { th.n { "number" } th { "when" } th { "who" } th { "action" } th { "what" } th.wide { "detail" } } }
                tbody {
                    @for line in &lines {
                        tr {
                            td.n { (line.id) } td { (time(line.at)) } td { (line.who) } td { (line.action) }
                            td { (line.what) } td.wide { (line.detail_in_words()) }
                        }
                    }
                }
            } }
            }
        }
        @if let Some(last) = lines.last().filter(|_| has_more) {
            p { a rel="next" href={ "/audit?before=" (last.id) } { "Earlier entries" } }
        }
    };
    frame.render("Audit", &content).await
}
