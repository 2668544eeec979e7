//! Dead letters and the quarantine, and the bulk changes of both.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, PageProblem, PageResult, Section};
use super::parts::{number, time, time_or_none};
use crate::http::api::replays::StartOrder;
use crate::http::document::{address, path};
use crate::http::guard::{Operator, Viewer};
use crate::http::problem::Problem;
use crate::http::request::{Fields, Params, PathOf};
use crate::http::site::Site;
use crate::operator::bulk::{self, ChangePlan, ChangeView, MessageAction, MessageOrder};
use crate::operator::dead::{self, DeadQueues, ListedLetter};
use crate::operator::quarantine::{QuarantinePage, QuarantinedMessage};
use muster_core::job::Name;

/// Messages on one page.
const LIMIT: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct QuarantineParams {
    reason: String,
    after: String,
}

pub(super) async fn quarantine(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<QuarantineParams>,
) -> PageResult {
    let reason = Some(params.reason.as_str()).filter(|reason| !reason.is_empty());
    let wrong = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, format!("`after`: {detail}"));
    let after = Some(params.after.as_str()).filter(|after| !after.is_empty()).map(str::parse);
    let after = after.transpose().map_err(wrong)?;
    let page = QuarantinePage::read(&site.ledger, reason, after.as_ref(), LIMIT).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Quarantine };
    let content = html! {
        h1 { "Quarantine" }
        p { "Messages that are not jobs, and dead letters that were dropped. They cost no call and wait for a decision." }
        form.filters action="/quarantine" method="get" {
            label { "Reason" input name="reason" value=(params.reason); }
            button { "Filter" }
        }
        @if page.messages.is_empty() { p { "No message matches." } } @else { (quarantined(&page.messages)) }
        @if let Some(next) = &page.next {
            p { a rel="next" href=(address("/quarantine", &[("reason", &params.reason), ("after", next)])) { "Next page" } }
        }
        @if frame.may_change() && !page.messages.is_empty() {
            h2 { "All " @if let Some(reason) = reason { "with the reason " code { (reason) } } @else { "messages" } }
            (plan_form("quarantine_replay", reason, "Plan to resend those that are jobs now"))
            (plan_form("quarantine_drop", reason, "Plan to delete them permanently"))
        }
    };
    frame.render("Quarantine", &content).await
}

fn quarantined(messages: &[QuarantinedMessage]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Quarantined messages" tabindex="0" { table {
            thead {
                tr { th { "message" } th { "reason" } th.wide { "detail" } th.n { "bytes" } th { "sent" } th { "quarantined" } }
            }
            tbody {
                @for message in messages {
                    tr {
                        td.id { (message.message_id) }
                        td { a href=(address("/quarantine", &[("reason", &message.reason)])) { (message.reason) } }
                        td.wide { (message.detail) }
                        td.n { (number(message.bytes)) }
                        td { (time(message.sent_at)) }
                        td { (time(message.quarantined_at)) }
                    }
                }
            }
        } }
    }
}

/// A form that plans a change of everything, or of everything with a reason.
fn plan_form(action: &str, reason: Option<&str>, label: &str) -> Markup {
    html! {
        form.inline action="/changes/plans" method="post" {
            input type="hidden" name="action" value=(action);
            @match reason {
                Some(reason) => input type="hidden" name="reason" value=(reason);,
                None => input type="hidden" name="all" value="true";,
            }
            button { (label) }
        }
    }
}

/// The page of dead letters, before SQS was asked.
pub(super) async fn dead_letters(viewer: Viewer, State(site): State<Site>) -> PageResult {
    dead_page(&viewer, &site, None).await
}

/// The page of dead letters with the messages that SQS returned.
pub(super) async fn list_dead_letters(viewer: Viewer, State(site): State<Site>) -> PageResult {
    let queues = DeadQueues::open(&site.config, None).await?;
    let letters = dead::list(&site.config, &queues, LIMIT as usize, &CancellationToken::new()).await?;
    dead_page(&viewer, &site, Some(&letters)).await
}

async fn dead_page(viewer: &Viewer, site: &Site, letters: Option<&[ListedLetter]>) -> PageResult {
    let frame = Frame { site, identity: &viewer.0, section: Section::Dead };
    let content = html! {
        h1 { "Dead letters" }
        p { "Messages that SQS gave up on: they were received too often without being deleted." }
        form.inline action="/dead-letters" method="post" { button { "Read the first " (LIMIT) " from SQS" } }
        @if let Some(letters) = letters {
            @if letters.is_empty() { p role="status" { "The dead-letter queues are empty." } } @else { (dead_table(letters)) }
        }
        @if frame.may_change() {
            h2 { "All dead letters" }
            (plan_form("dead_replay", None, "Plan to resend those that are jobs"))
            (plan_form("dead_drop", None, "Plan to move them to the quarantine"))
            h2 { "Of one batch" }
            form.inline action="/changes/plans" method="post" {
                input type="hidden" name="action" value="dead_replay";
                label for="batch" { "Batch" }
                input #batch name="batch" required;
                button { "Plan to resend them" }
            }
        }
    };
    frame.render("Dead letters", &content).await
}

fn dead_table(letters: &[ListedLetter]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Dead letters" tabindex="0" { table {
            caption { (letters.len()) " messages" @if letters.len() >= LIMIT as usize { ", there may be more" } }
            thead { tr { th { "message" } th { "sent" } th.n { "received" } th { "batch" } th { "ref" } th.wide { "certificate, or why it is not a job" } } }
            tbody {
                @for letter in letters {
                    tr {
                        td.id { (letter.message_id) }
                        td { (time(letter.sent_at)) }
                        td.n { (letter.receive_count) }
                        @match (&letter.job, &letter.no_job) {
                            (Some(job), _) => {
                                td { a href={ "/batches/" (path(job.batch.as_str())) } { (job.batch) } }
                                td { @if let Some(reference) = &job.reference { (reference) } }
                                td.wide.id { @if let Some(id) = &job.certificate_id { (id) } @else { "no certificate can be read" } }
                            },
                            (None, Some(not)) => { td {} td {} td.wide { (not.reason) ": " (not.detail) } },
                            (None, None) => { td {} td {} td.wide {} },
                        }
                    }
                }
            }
        } }
    }
}

/// What a form selects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFields {
    action: MessageAction,
    #[serde(default)]
    all: bool,
    reason: Option<String>,
    batch: Option<Name>,
}

pub(super) async fn plan(
    operator: Operator,
    State(site): State<Site>,
    Fields(fields): Fields<PlanFields>,
) -> Result<Redirect, PageProblem> {
    let PlanFields { action, all, reason, batch } = fields;
    let order = MessageOrder { action, all, ids: vec![], reason, batch };
    let plan = bulk::plan(&site.config, &site.ledger, &order, &operator.0.who).await?;
    Ok(Redirect::to(&format!("/changes/plans/{}", plan.plan)))
}

pub(super) async fn confirm(operator: Operator, State(site): State<Site>, PathOf(id): PathOf<String>) -> PageResult {
    let plan = bulk::planned(&site.ledger, &id).await?;
    let frame = Frame { site: &site, identity: &operator.0, section: Section::Changes };
    let content = html! {
        h1 { "Plan: " (plan.action) }
        @if plan.is_begun {
            p { "It was started: " a href={ "/changes/" (path(&plan.plan)) } { "see its progress" } "." }
        } @else {
            p.sentence {
                @if plan.is_approximate { "About " }
                (number(plan.expected)) " messages are selected."
            }
            @if plan.action == "quarantine drop" { p.warning { "Deleted messages cannot be brought back." } }
            (start_form(&plan))
        }
        h2 { "Selection" }
        p { code { (plan.filter.get()) } }
        p { "Planned by " (plan.planned_by) ". It can be started until " (time(plan.valid_until)) "." }
    };
    frame.render("Plan", &content).await
}

fn start_form(plan: &ChangePlan) -> Markup {
    html! {
        form.stacked action="/changes" method="post" {
            input type="hidden" name="plan" value=(plan.plan);
            @if plan.needs_confirmation {
                label for="confirm" { "Type " strong { (plan.expected) } " to confirm" }
                input #confirm name="confirm" inputmode="numeric" pattern=(plan.expected) required autocomplete="off";
            }
            button { "Start: " (plan.action) ", " (number(plan.expected)) " messages" }
        }
    }
}

pub(super) async fn start(
    operator: Operator,
    State(site): State<Site>,
    Fields(order): Fields<StartOrder>,
) -> Result<Redirect, PageProblem> {
    let who = &operator.0.who;
    let change = bulk::start(&site.config, &site.ledger, &order.plan, order.confirm, who).await?;
    Ok(Redirect::to(&format!("/changes/{}", change.change)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChangesParams {
    before: Option<String>,
}

pub(super) async fn changes(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<ChangesParams>,
) -> PageResult {
    // One more change shows whether there is a next page.
    let mut found = bulk::changes(&site.ledger, params.before.as_deref(), LIMIT + 1).await?;
    let has_more = found.len() > LIMIT as usize;
    found.truncate(LIMIT as usize);
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Changes };
    let content = html! {
        h1 { "Bulk changes" }
        section #changes data-live {
            @if found.is_empty() { p { "No bulk change was started." } } @else { (changes_table(&found)) }
        }
        @if let Some(last) = found.last().filter(|_| has_more) {
            p { a rel="next" href={ "/changes?before=" (path(&last.change)) } { "Earlier changes" } }
        }
    };
    frame.render("Bulk changes", &content).await
}

fn changes_table(found: &[ChangeView]) -> Markup {
    html! {
        div.scroll role="group" aria-label="Bulk changes" tabindex="0" { table {
            thead { tr { th { "action" } th { "state" } th { "started" } th { "by" } th.n { "expected" } th.n { "done" } th.n { "failed" } } }
            tbody {
                @for change in found {
                    @let page = change.replay.map_or_else(|| format!("/changes/{}", change.change), |n| format!("/replays/{n}"));
                    tr {
                        td { a href=(page) { (change.action) } }
                        td { (change.state) }
                        td { (time(change.requested_at)) }
                        td { (change.requested_by) }
                        td.n { (number(change.expected)) }
                        td.n { (number(change.done)) }
                        td.n { (number(change.failed)) }
                    }
                }
            }
        } }
    }
}

pub(super) async fn change(viewer: Viewer, State(site): State<Site>, PathOf(id): PathOf<String>) -> PageResult {
    let change = bulk::show(&site.ledger, &id).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Changes };
    let content = html! {
        h1 { "Bulk change: " (change.action) }
        section #change data-live {
            p.sentence { (sentence(&change)) }
            dl.numbers {
                div { dt { "expected" } dd { (number(change.expected)) } }
                div { dt { "done" } dd { (number(change.done)) } }
                div { dt { "not possible" } dd { (number(change.failed)) } }
            }
            p { "Started by " (change.requested_by) " " (time(change.requested_at)) ", ended " (time_or_none(change.ended_at)) "." }
            @if let Some(error) = &change.error { p.warning { (error) } }
            @if let Some(result) = &change.result { p { code { (result) } } }
            @if frame.may_change() && change.is_in_progress() {
                form.inline action={ "/changes/" (path(&change.change)) "/cancel" } method="post" {
                    button.danger { "Cancel" }
                }
            }
        }
        h2 { "Selection" }
        p { code { (change.filter.get()) } }
    };
    frame.render("Bulk change", &content).await
}

fn sentence(change: &ChangeView) -> &'static str {
    match change.state.as_str() {
        "running" => "In progress.",
        "interrupted" => "Interrupted: its process died. What was done stays done; plan it again for the rest.",
        "cancelled" => "Cancelled: what was done stays done.",
        "failed" => "Failed: what was done stays done.",
        _ => "Done.",
    }
}

pub(super) async fn cancel(
    operator: Operator,
    State(site): State<Site>,
    PathOf(id): PathOf<String>,
) -> Result<Redirect, PageProblem> {
    bulk::cancel(&site.ledger, &id, &operator.0.who).await?;
    Ok(Redirect::to(&format!("/changes/{}", path(&id))))
}
