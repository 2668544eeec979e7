//! Holds and pauses: what parked jobs wait for, and what releases them.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageProblem, PageResult, Section};
use super::parts::{number, time};
use crate::http::api::pauses::{PauseRequest, ResumeRequest};
use crate::http::document::path;
use crate::http::guard::{Operator, Viewer};
use crate::http::request::Fields;
use crate::http::site::Site;
use crate::operator::holds::{self, HoldLine};
use crate::operator::pausing::PauseScope;
use muster_core::hold::{HoldKey, HoldKind};

pub(super) async fn list(viewer: Viewer, State(site): State<Site>) -> PageResult {
    let holds = holds::holds(&site.ledger).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Holds };
    let content = html! {
        h1 { "Holds" }
        p { "Parked jobs wait for these. A hold is released by itself when a probe succeeds; its jobs are then resent." }
        section #holds data-live {
            @if holds.is_empty() { p { "Nothing is held." } } @else {
                @for hold in &holds { (held(hold, frame.may_change())) }
            }
        }
    };
    frame.render("Holds", &content).await
}

fn held(hold: &HoldLine, may_change: bool) -> Markup {
    let is_releasable =
        hold.released_at.is_none() && !matches!(hold.kind(), Some(HoldKind::Pause | HoldKind::Replay | HoldKind::Busy));
    let is_pause = hold.released_at.is_none() && hold.kind() == Some(HoldKind::Pause);
    html! {
        article data-key=(hold.hold) {
            h2 { (hold.title) }
            p { (hold.state()) ". " (holds::jobs_wait(hold.n_waiting)) "." }
            dl.fields {
                @if let Some(subject) = &hold.subject { dt { "CA" } dd { (subject) } }
                dt { "reason" } dd { (hold.reason) }
                dt { "opened" } dd { (time(hold.opened_at)) }
                @if hold.released_at.is_none() { dt { "next probe" } dd { (time(hold.probe_at)) } }
                dt { "key" } dd.id { (hold.hold) }
                @if let Some(fix) = &hold.fix { dt { "fix" } dd { code { (fix) } } }
            }
            @if may_change && is_releasable {
                form.inline action="/holds/release" method="post" {
                    input type="hidden" name="hold" value=(hold.hold);
                    button { "Release: resend " (number(hold.n_waiting)) " jobs" }
                }
            }
            @if may_change && is_pause { (resume_form(&hold.hold, "Resume")) }
        }
    }
}

/// Returns whether an operator paused this.
pub(super) fn is_paused(holds: &[HoldLine], scope: &PauseScope) -> bool {
    let key = scope.hold().to_string();
    holds.iter().any(|hold| hold.hold == key && hold.released_at.is_none())
}

/// The form that pauses this.
pub(super) fn pause_form(scope: &PauseScope, label: &str) -> Markup {
    html! {
        form.inline action="/pause" method="post" data-key="pause" {
            (scope_fields(scope.hold().as_str()))
            label for="reason" { "Reason" }
            input #reason name="reason" maxlength="200";
            button.danger { (label) }
        }
    }
}

/// The form that resumes what has this hold.
pub(super) fn resume_form(hold: &str, label: &str) -> Markup {
    html! {
        form.inline action="/resume" method="post" data-key="resume" {
            (scope_fields(hold))
            button { (label) }
        }
    }
}

/// The fields that name a scope by its hold: `pause:all`, `pause:target:NAME` or `pause:batch:NAME`.
fn scope_fields(hold: &str) -> Markup {
    let mut words = hold.splitn(3, ':').skip(1);
    let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    html! {
        input type="hidden" name="scope" value=(kind);
        @if !name.is_empty() { input type="hidden" name="name" value=(name); }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ReleaseFields {
    hold: String,
}

pub(super) async fn release(
    operator: Operator,
    State(site): State<Site>,
    Fields(fields): Fields<ReleaseFields>,
) -> Result<Redirect, PageProblem> {
    holds::release(&site.ledger, HoldKey::read(fields.hold), &operator.0.who).await?;
    Ok(Redirect::to("/holds"))
}

pub(super) async fn pause(
    operator: Operator,
    State(site): State<Site>,
    Fields(request): Fields<PauseRequest>,
) -> Result<Redirect, PageProblem> {
    Ok(after(&request.carry_out(&site, &operator).await?.0))
}

pub(super) async fn resume(
    operator: Operator,
    State(site): State<Site>,
    Fields(request): Fields<ResumeRequest>,
) -> Result<Redirect, PageProblem> {
    Ok(after(&request.carry_out(&site, &operator).await?))
}

/// Goes back to the batch, or to the holds.
fn after(scope: &PauseScope) -> Redirect {
    match scope {
        PauseScope::Batch(batch) => Redirect::to(&format!("/batches/{}", path(batch.as_str()))),
        PauseScope::All | PauseScope::Target(_) => Redirect::to("/holds"),
    }
}
