//! Replays: the list, a plan to confirm, and the progress of one.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::frame::{Frame, PageProblem, PageResult, Section};
use super::parts::{duration, number, number_or_unknown, time, time_or_none};
use crate::http::api::replays::StartOrder;
use crate::http::guard::{Operator, Viewer};
use crate::http::request::{Fields, Params, PathOf};
use crate::http::site::Site;
use crate::operator::audit_log::in_words;
use crate::operator::replays::{self, Forecast, ReplayOrder, ReplayPlan, ReplayReport, ReplayState};
use muster_core::job::Name;
use muster_core::outcome::Code;

/// Replays on one page.
const LIMIT: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplaysParams {
    before: Option<i64>,
}

pub(super) async fn list(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<ReplaysParams>,
) -> PageResult {
    // One more replay shows whether there is a next page.
    let mut found = replays::replays(&site.ledger, params.before, LIMIT + 1).await?;
    let has_more = found.len() > LIMIT as usize;
    found.truncate(LIMIT as usize);
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Replays };
    let content = html! {
        h1 { "Replays" }
        p { "To resend failures, open a batch or the failures of all batches and plan a replay." }
        section #replays data-live {
            @if found.is_empty() { p { "No replays." } } @else { (table(&found)) }
        }
        @if let Some(last) = found.last().filter(|_| has_more) {
            p { a rel="next" href={ "/replays?before=" (last.replay) } { "Earlier replays" } }
        }
    };
    frame.render("Replays", &content).await
}

fn table(found: &[ReplayReport]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Replays" tabindex="0" { table {
            thead {
                tr {
                    th.n { "number" } th { "state" } th { "requested" } th { "by" } th.n { "selected" } th.n { "sent" }
                    th.wide { "selection" }
                }
            }
            tbody {
                @for replay in found {
                    tr {
                        td.n { a href={ "/replays/" (replay.replay) } { (replay.replay) } }
                        td { (replay.state) }
                        td { (time(replay.requested_at)) }
                        td { (replay.requested_by) }
                        td.n { (number(replay.chosen)) }
                        td.n { (number(replay.sent)) }
                        td.wide { (selection(&replay.filter)) }
                    }
                }
            }
        } }
    }
}

/// Describes a filter, shortened: it may name 100,000 certificates.
fn selection(filter: &RawValue) -> String {
    const SHOWN: usize = 300;
    let mut fields: Map<String, Value> = serde_json::from_str(filter.get()).unwrap_or_default();
    fields.retain(|_, value| *value != Value::Bool(false));
    let words = in_words(&Value::Object(fields));
    let shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() { shown + "..." } else { shown }
}

/// What a form selects: the failures of a batch, or of all batches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFields {
    batch: Option<Name>,
    #[serde(default)]
    all_batches: bool,
    code: Option<Code>,
}

pub(super) async fn plan(
    operator: Operator,
    State(site): State<Site>,
    Fields(fields): Fields<PlanFields>,
) -> Result<Redirect, PageProblem> {
    let order = ReplayOrder {
        batches: fields.batch.into_iter().collect(),
        all_batches: fields.all_batches,
        codes: fields.code.into_iter().collect(),
        ..ReplayOrder::default()
    };
    let plan = ReplayPlan::make(&site.config, &site.ledger, &order, &operator.0.who).await?;
    Ok(Redirect::to(&format!("/replays/plans/{}", plan.plan)))
}

pub(super) async fn confirm(operator: Operator, State(site): State<Site>, PathOf(id): PathOf<String>) -> PageResult {
    let plan = ReplayPlan::read(&site.config, &site.ledger, &id).await?;
    let frame = Frame { site: &site, identity: &operator.0, section: Section::Replays };
    let content = html! {
        h1 { "Plan of a replay" }
        @match plan.replay {
            Some(started) => p { "It was started as " a href={ "/replays/" (started) } { "replay " (started) } "." },
            None => {
                section #forecast data-live { (forecast(&plan)) }
                (start_form(&plan))
            }
        }
        h2 { "Selection" }
        p { (selection(&plan.filter)) }
        p { "Planned by " (plan.planned_by) ". It can be started until " (time(plan.valid_until)) "." }
    };
    frame.render("Plan of a replay", &content).await
}

fn forecast(plan: &ReplayPlan) -> Markup {
    let Forecast { registered_meanwhile, without_request, in_progress, by_code, seconds_at_quota, .. } = &plan.forecast;
    let or_more = if plan.is_more { " or more" } else { "" };
    html! {
        p.sentence { (number(plan.expected)) (or_more) " jobs will be resent." }
        ul {
            @if let Some(seconds) = seconds_at_quota { li { "The calls take at least " (duration(*seconds)) " at the rates of their targets." } }
            @if *registered_meanwhile > 0 { li { (number(*registered_meanwhile)) " have been registered meanwhile and cost no call." } }
            @if *in_progress > 0 { li { (number(*in_progress)) " are skipped: they are already being resent." } }
            @if *without_request > 0 { li { (number(*without_request)) " are skipped: the ledger kept no request of them." } }
        }
        div.scroll role="group" aria-label="Jobs by code" tabindex="0" { table {
            thead { tr { th { "code" } th { "status" } th { "target" } th { "operation" } th.n { "matching" } th.n { "to resend" } } }
            tbody {
                @for share in by_code {
                    tr {
                        td { (share.code) } td { (share.status) } td { (share.target) } td { (share.operation.to_string()) }
                        td.n { (number(share.n)) } td.n { (number(share.to_resend)) }
                    }
                }
            }
        } }
    }
}

fn start_form(plan: &ReplayPlan) -> Markup {
    html! {
        form.stacked action="/replays" method="post" {
            input type="hidden" name="plan" value=(plan.plan);
            @if plan.needs_confirmation {
                label for="confirm" { "Type " strong { (plan.expected) } " to confirm" }
                input #confirm name="confirm" inputmode="numeric" pattern=(plan.expected) required autocomplete="off";
            }
            button { "Resend " (number(plan.expected)) " jobs" }
        }
    }
}

pub(super) async fn start(
    operator: Operator,
    State(site): State<Site>,
    Fields(order): Fields<StartOrder>,
) -> Result<Redirect, PageProblem> {
    let number = replays::start(&site.ledger, &order.plan, order.confirm, &operator.0.who).await?;
    Ok(Redirect::to(&format!("/replays/{number}")))
}

pub(super) async fn show(viewer: Viewer, State(site): State<Site>, PathOf(number): PathOf<i64>) -> PageResult {
    let report = ReplayReport::read(&site.ledger, number).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Replays };
    let content = html! {
        h1 { "Replay " (number) }
        section #replay data-live {
            (progress(&report))
            @if frame.may_change() && report.state == ReplayState::Sending {
                form.inline action={ "/replays/" (number) "/cancel" } method="post" {
                    button.danger { "Cancel: send nothing more" }
                }
            }
        }
        h2 { "Selection" }
        p { (selection(&report.filter)) }
    };
    frame.render(&format!("Replay {number}"), &content).await
}

fn progress(report: &ReplayReport) -> Markup {
    let state = match (report.state, report.is_over()) {
        (ReplayState::Cancelled, _) => "Cancelled: nothing more is sent.",
        (_, true) => "Done: every selected job has an outcome.",
        (ReplayState::Sending, _) => "Workers are selecting and sending jobs.",
        (ReplayState::Sent, _) => "Every selected job was sent; some have no outcome yet.",
    };
    html! {
        p.sentence { (state) }
        dl.numbers {
            div { dt { "expected" } dd { (number(report.expected)) } }
            div { dt { "selected" } dd { (number(report.chosen)) } }
            div { dt { "sent" } dd { (number(report.sent)) } }
            div { dt { "in progress" } dd { (number_or_unknown(report.in_progress)) } }
            div { dt { "failed again" } dd { (number(report.n_failed())) } }
        }
        p {
            "Requested by " (report.requested_by) " " (time(report.requested_at)) ", sent " (time_or_none(report.ended_at)) "."
            @if let Some(who) = &report.cancelled_by { " Cancelled by " (who) "." }
        }
        @if report.outcomes.iter().flatten().next().is_some() {
            div.scroll role="group" aria-label="Outcomes" tabindex="0" { table {
                thead { tr { th { "status" } th { "code" } th.n { "jobs" } } }
                tbody {
                    @for outcome in report.outcomes.iter().flatten() {
                        tr { td { (outcome.status) } td { (outcome.code) } td.n { (number(outcome.n)) } }
                    }
                }
            } }
        }
    }
}

pub(super) async fn cancel(
    operator: Operator,
    State(site): State<Site>,
    PathOf(number): PathOf<i64>,
) -> Result<Redirect, PageProblem> {
    replays::cancel(&site.ledger, number, &operator.0.who).await?;
    Ok(Redirect::to(&format!("/replays/{number}")))
}
