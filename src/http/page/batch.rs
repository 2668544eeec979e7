//! One batch: progress, failures by code with what to do, factory lines, and the list of failures of one code.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{Frame, PageProblem, PageResult, Section};
use super::holds::{is_paused, pause_form, resume_form};
use super::parts::{Parts, duration, number, number_or_unknown, time, time_or_none};
use crate::http::api::batches::FailureParams;
use crate::http::document::{address, path};
use crate::http::download;
use crate::http::guard::Viewer;
use crate::http::request::{Params, PathOf};
use crate::http::site::Site;
use crate::ledger::outcomes::OutcomeFilter;
use crate::operator::export::{ExportFormat, FAILED};
use crate::operator::failures::{FailedCertificate, failures_of_batch};
use crate::operator::holds::holds;
use crate::operator::pausing::PauseScope;
use crate::operator::status::{BatchReport, FailureGroup, SourceCounts, StatusQuery, WaitingFor};
use muster_core::format::rate;
use muster_core::job::Name;

pub(super) async fn show(viewer: Viewer, State(site): State<Site>, PathOf(batch): PathOf<Name>) -> PageResult {
    let query = StatusQuery { config: &site.config, ledger: &site.ledger, batch: &batch };
    let report = query.measure(Duration::ZERO).await?;
    let is_paused = is_paused(&holds(&site.ledger).await?, &PauseScope::Batch(batch.clone()));
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Batches };
    let content = html! {
        h1 { "Batch " (batch) }
        section #progress data-live { (progress(&report)) }
        section #failures data-live {
            h2 { "Failures by code" }
            (groups(&report, &report.failures, frame.may_change()))
            @if !report.failures.is_empty() {
                p { a href={ "/batches/" (path(batch.as_str())) "/failures.csv" } { "Download the failures as CSV" } }
            }
        }
        section #parked data-live { @if report.parked > 0 { (parked(&report)) } }
        section #sources data-live { (sources(&report.sources)) }
        @if frame.may_change() { section #actions data-live { (actions(&batch, is_paused)) } }
    };
    frame.render(&format!("Batch {batch}"), &content).await
}

pub(super) async fn failures(
    viewer: Viewer,
    State(site): State<Site>,
    PathOf(batch): PathOf<Name>,
    Params(params): Params<FailureParams>,
) -> PageResult {
    let page = failures_of_batch(&site.ledger, &params.query(batch.clone())?).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Batches };
    let here = format!("/batches/{}/failures", path(batch.as_str()));
    let content = html! {
        h1 { a href={ "/batches/" (path(batch.as_str())) } { "Batch " (batch) } ": " (params.code) }
        section #certificates data-live {
            @if page.failures.is_empty() { p { "No certificate of this batch has this code." } } @else {
                (certificates(&page.failures))
            }
        }
        @if let Some(next) = &page.next {
            p { a rel="next" href=(address(&here, &[("code", params.code.as_str()), ("after", next)])) { "Next page" } }
        }
        @if frame.may_change() { (replay_form(batch.as_str(), params.code.as_str())) }
    };
    frame.render(&format!("{batch}: {}", params.code), &content).await
}

/// The failures of a batch as a file for the factory line.
pub(super) async fn failures_csv(
    _: Viewer,
    State(site): State<Site>,
    PathOf(batch): PathOf<Name>,
) -> Result<Response, PageProblem> {
    let filter = OutcomeFilter { statuses: FAILED.into(), ..OutcomeFilter::default() };
    Ok(download::outcomes(&site, batch, ExportFormat::Csv, filter).await?)
}

fn progress(report: &BatchReport) -> Markup {
    let failed: u64 = report.failures.iter().map(|group| group.n).sum();
    let being_resent = report.being_resent.unwrap_or(0);
    let parts = Parts {
        registered: report.finished - failed,
        failed,
        parked: report.parked - being_resent,
        being_resent,
        outstanding: report.outstanding.unwrap_or(0),
        is_missing: report.missing.is_some_and(|n| n > 0),
    };
    html! {
        p { (sentence(&report.headline())) }
        (parts.bar())
        dl.numbers {
            div { dt { "announced" } dd { (number_or_unknown(report.announced)) } }
            @for (status, n) in report.by_status.iter().filter(|(status, n)| **n > 0 || *status == "registered") {
                div data-key=(status) { dt { (status.replace('_', " ")) } dd { (number(*n)) } }
            }
            div { dt { "parked" } dd { (number(report.parked)) } }
            div { dt { "being resent" } dd { (number_or_unknown(report.being_resent)) } }
            div { dt { "outstanding" } dd { (number_or_unknown(report.outstanding)) } }
            div { dt { "missing" } dd { (number_or_unknown(report.missing)) } }
        }
        p {
            "First outcome " (time_or_none(report.first_outcome_at)) ", last outcome " (time_or_none(report.last_outcome_at)) "."
            @if let Some(average) = report.average_rate { " On average " (rate(average)) " outcomes per second." }
            @if let Some(seconds) = report.seconds_left_at_learnt_rate.filter(|&seconds| seconds > 0.0) {
                " At least " (duration(seconds)) " left at the learnt rate."
            }
        }
        @if report.status_differs > 0 {
            p { (number(report.status_differs)) " of them have another status at AWS than requested, or an unknown one." }
        }
    }
}

/// Makes a sentence of a headline.
fn sentence(headline: &str) -> String {
    let mut letters = headline.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn groups(report: &BatchReport, groups: &[FailureGroup], may_change: bool) -> Markup {
    html! {
        @if groups.is_empty() { p { "Nothing failed." } } @else {
            div.scroll role="group" aria-label="Failures by code" tabindex="0" { table {
                thead { tr { th { "code" } th { "status" } th.n { "certificates" } th.wide { "example" } @if may_change { th { span.hidden { "action" } } } } }
                tbody {
                    @for group in groups {
                        tr data-key={ (group.code) "/" (group.status) } {
                            td { a href=(list_of(&report.batch, group.code)) { (group.code) } }
                            td { (group.status) }
                            td.n { (number(group.n)) }
                            td.wide { (example(group)) }
                            @if may_change { td { (replay_form(&report.batch, group.code)) } }
                        }
                    }
                }
            } }
        }
    }
}

fn example(group: &FailureGroup) -> Markup {
    html! {
        @if let Some(example) = &group.example {
            a href={ "/certificates/" (path(&example.subject)) } {
                (example.reference.as_deref().unwrap_or(&example.subject))
            }
            @if let Some(detail) = &example.detail { ": " (detail) }
        }
    }
}

fn list_of(batch: &str, code: &str) -> String {
    address(&format!("/batches/{}/failures", path(batch)), &[("code", code)])
}

fn replay_form(batch: &str, code: &str) -> Markup {
    html! {
        form.inline action="/replays/plans" method="post" {
            input type="hidden" name="batch" value=(batch);
            input type="hidden" name="code" value=(code);
            button { "Plan a replay" }
        }
    }
}

fn parked(report: &BatchReport) -> Markup {
    html! {
        h2 { "Parked" }
        ul {
            @for WaitingFor { what, fix, n, .. } in &report.waiting_for {
                li { (number(*n)) " wait: " (what) @if let Some(fix) = fix { "; " code { (fix) } } }
            }
            @if report.being_resent != Some(0) {
                li { (number_or_unknown(report.being_resent)) " wait for nothing any more: being resent" }
            }
        }
        (groups(report, &report.parked_for, false))
    }
}

fn sources(sources: &[SourceCounts]) -> Markup {
    html! {
        h2 { "Factory lines" }
        div.scroll role="group" aria-label="Factory lines" tabindex="0" { table {
            thead { tr { th { "line" } th.n { "registered" } th.n { "failed" } th.n { "parked" } } }
            tbody {
                @for line in sources {
                    tr {
                        td { @match &line.source { Some(name) => (name), None => span.none { "not named" } } }
                        td.n { (number(line.succeeded)) } td.n { (number(line.failed)) } td.n { (number(line.parked)) }
                    }
                }
            }
        } }
    }
}

fn actions(batch: &Name, is_paused: bool) -> Markup {
    let scope = PauseScope::Batch(batch.clone());
    html! {
        h2 { "Actions" }
        form.inline action="/replays/plans" method="post" {
            input type="hidden" name="batch" value=(batch);
            button { "Plan a replay of what may succeed" }
        }
        @if is_paused { (resume_form(scope.hold().as_str(), "Resume this batch")) } @else { (pause_form(&scope, "Pause this batch")) }
    }
}

fn certificates(failures: &[FailedCertificate]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Certificates" tabindex="0" { table {
            thead {
                tr {
                    th { "certificate" } th { "ref" } th { "line" } th { "target" } th.wide { "detail" } th.n { "calls" }
                    th { "recorded" }
                }
            }
            tbody {
                @for failed in failures {
                    @let id = failed.subject.to_string();
                    tr {
                        td.id { a href={ "/certificates/" (id) } title=(id) { (id.get(..12).unwrap_or(&id)) } }
                        td { (failed.reference.as_deref().unwrap_or("")) }
                        td { (failed.source.as_deref().unwrap_or("")) }
                        td { (failed.target) }
                        td.wide {
                            (failed.detail.as_deref().unwrap_or(""))
                            @if let Some(at) = failed.resent_at { " Resent " (time(at)) "." }
                        }
                        td.n { (failed.n_attempts) }
                        td { (time(failed.recorded_at)) }
                    }
                }
            }
        } }
    }
}
