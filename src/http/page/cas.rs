//! CAs: those that jobs wait for, those that are registered, and those that could not be registered.

use axum::extract::State;
use maud::{Markup, html};

use super::frame::{Frame, PageResult, Section};
use super::parts::time;
use crate::http::document::path;
use crate::http::guard::Viewer;
use crate::http::site::Site;
use crate::operator::authorities::{AwaitedCa, CaListing, FailedCa, RegisteredCa};
use crate::operator::holds::jobs_wait;

pub(super) async fn list(viewer: Viewer, State(site): State<Site>) -> PageResult {
    let cas = CaListing::without_aws(&site.ledger, "AWS was not asked").await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Cas };
    let content = html! {
        h1 { "CAs" }
        section #cas data-live {
            h2 { "Jobs wait for these" }
            @if cas.waited_for.is_empty() { p { "No job waits for a CA." } } @else { (awaited(&cas.waited_for)) }
            h2 { "Registered" }
            @if cas.registered.is_empty() { p { "The ledger has no registered CA." } } @else { (registered(&cas.registered)) }
            @if !cas.failed_cas.is_empty() { h2 { "Could not be registered" } (failed(&cas.failed_cas)) }
        }
        p { "The status is the one that Muster last set or read; " code { "muster ca list" } " asks AWS." }
    };
    frame.render("CAs", &content).await
}

fn awaited(cas: &[AwaitedCa]) -> Markup {
    html! {
        div.scroll role="group" aria-label="CAs that jobs wait for" tabindex="0" { table {
            thead { tr { th.wide { "CA" } th { "target" } th.wide { "what happened" } th { "waiting" } th { "fix" } } }
            tbody {
                @for ca in cas {
                    tr {
                        td.wide { (ca.subject.as_deref().unwrap_or("a CA of unknown name")) }
                        td { (ca.target) }
                        td.wide { (ca.title) }
                        td { (jobs_wait(ca.n_waiting)) }
                        td { @if let Some(fix) = &ca.fix { code { (fix) } } }
                    }
                }
            }
        } }
    }
}

fn registered(cas: &[RegisteredCa]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Registered CAs" tabindex="0" { table {
            thead { tr { th.wide { "CA" } th { "where" } th { "last known status" } th { "valid until" } th { "in the ledger since" } } }
            tbody {
                @for ca in cas {
                    tr {
                        td.wide title=(ca.certificate_id) { (ca.subject) }
                        td { (ca.location()) }
                        td { @match ca.certificate_status { Some(status) => (status.to_string()), None => span.none { "unknown" } } }
                        td { (ca.valid_until) }
                        td { (time(ca.since)) }
                    }
                }
            }
        } }
    }
}

fn failed(cas: &[FailedCa]) -> Markup {
    html! {
        div.scroll role="group" aria-label="CAs that could not be registered" tabindex="0" { table {
            thead { tr { th.wide { "CA" } th { "batch" } th { "code" } th.wide { "detail" } th { "when" } } }
            tbody {
                @for ca in cas {
                    tr {
                        td.wide { (ca.subject.as_deref().unwrap_or("a CA that cannot be read")) }
                        td { a href={ "/batches/" (path(&ca.batch)) } { (ca.batch) } }
                        td { (ca.code) }
                        td.wide { (ca.detail.as_deref().unwrap_or("")) }
                        td { (time(ca.outcome_at)) }
                    }
                }
            }
        } }
    }
}
