//! Failures of all batches by code.

use axum::extract::State;
use maud::html;

use super::frame::{Frame, PageResult, Section};
use super::parts::{number, time};
use crate::http::document::path;
use crate::http::guard::Viewer;
use crate::http::site::Site;
use crate::operator::failures::failures_by_code;

pub(super) async fn list(viewer: Viewer, State(site): State<Site>) -> PageResult {
    let failures = failures_by_code(&site.ledger, None).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Failures };
    let content = html! {
        h1 { "Failures of all batches" }
        section #failures data-live {
            @if failures.is_empty() { p { "Nothing failed." } } @else {
                div.scroll role="group" aria-label="Failures" tabindex="0" { table {
                    thead {
                        tr {
                            th { "code" } th { "status" } th.n { "certificates" } th.n { "batches" } th { "last" }
                            th { "in batch" } th { "resent unchanged" } @if frame.may_change() { th { span.hidden { "action" } } }
                        }
                    }
                    tbody {
                        @for group in &failures {
                            tr data-key={ (group.code) "/" (group.status) } {
                                td { (group.code) } td { (group.status) } td.n { (number(group.n)) }
                                td.n { (number(group.n_batches)) } td { (time(group.last_at)) }
                                td { a href={ "/batches/" (path(&group.batch)) } { (group.batch) } }
                                td { @if group.may_succeed { "may succeed" } @else { "fails again" } }
                                @if frame.may_change() {
                                    td {
                                        form.inline action="/replays/plans" method="post" {
                                            input type="hidden" name="all_batches" value="true";
                                            input type="hidden" name="code" value=(group.code);
                                            button { "Plan a replay" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                } }
            }
        }
    };
    frame.render("Failures", &content).await
}
