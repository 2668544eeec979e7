//! What every page has: the navigation, the sentence on what is going on, and the time of the reading.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::parts::time;
use crate::config::http::AccessRole;
use crate::http::document::{document, fix, problem_page};
use crate::http::guard::Identity;
use crate::http::problem::Problem;
use crate::http::site::Site;
use crate::operator::overview::{Overview, WorkState};

/// The sections of the navigation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Section {
    Overview,
    Batches,
    Failures,
    Holds,
    Cas,
    Replays,
    Dead,
    Quarantine,
    Changes,
    Audit,
    Search,
}

const SECTIONS: [(Section, &str, &str); 10] = [
    (Section::Overview, "/", "Overview"),
    (Section::Batches, "/batches", "Batches"),
    (Section::Failures, "/failures", "Failures"),
    (Section::Holds, "/holds", "Holds"),
    (Section::Cas, "/cas", "CAs"),
    (Section::Replays, "/replays", "Replays"),
    (Section::Dead, "/dead-letters", "Dead letters"),
    (Section::Quarantine, "/quarantine", "Quarantine"),
    (Section::Changes, "/changes", "Changes"),
    (Section::Audit, "/audit", "Audit"),
];

/// A request for a page: who asks, and where.
pub(super) struct Frame<'a> {
    pub(super) site: &'a Site,
    pub(super) identity: &'a Identity,
    pub(super) section: Section,
}

/// The result of a page's handler.
pub(super) type PageResult = Result<Markup, PageProblem>;

/// A problem, shown as a page.
#[derive(Debug)]
pub(super) struct PageProblem(Problem);

impl<E: Into<Problem>> From<E> for PageProblem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        problem_page(self.0)
    }
}

impl Frame<'_> {
    /// Returns whether the reader may change something.
    pub(super) fn may_change(&self) -> bool {
        self.identity.role >= AccessRole::Operator
    }

    /// Renders a page whose content refers to one reading of the ledger.
    pub(super) async fn render(&self, title: &str, content: &Markup) -> PageResult {
        let overview = Overview::read(&self.site.ledger).await?;
        Ok(self.render_with(title, &overview, content))
    }

    /// Renders a page with an overview that was already read.
    pub(super) fn render_with(&self, title: &str, overview: &Overview, content: &Markup) -> Markup {
        let body = html! {
            main #content tabindex="-1" {
                (status_line(overview))
                (content)
            }
            footer {
                span #read-at data-live { "Read " (time(overview.read_at)) "." }
                span #stale role="status" hidden { "This page could not be refreshed: the numbers are old." }
            }
        };
        document(title, &self.header(), &body)
    }

    fn header(&self) -> Markup {
        html! {
            header {
                a.skip href="#content" { "Skip to content" }
                nav aria-label="Sections" {
                    strong { "Muster" }
                    @for (section, path, name) in SECTIONS {
                        a href=(path) aria-current=[(section == self.section).then_some("page")] { (name) }
                    }
                }
                form.search role="search" action="/search" method="get" {
                    label.hidden for="q" { "Find a certificate" }
                    input #q name="q" type="search" placeholder="id, serial or ref" autocomplete="off";
                    button { "Find" }
                }
                div.who {
                    button #refresh type="button" hidden { "Pause refresh" }
                    span { (self.identity.who) " (" (self.identity.role.to_string()) ")" }
                    @if self.identity.is_logged_in {
                        form action="/logout" method="post" { button.plain { "Log out" } }
                    }
                }
            }
        }
    }
}

/// One sentence on what is going on, and what stops or slows the work with its fix.
fn status_line(overview: &Overview) -> Markup {
    let state = match overview.state {
        WorkState::Stopped => "stopped",
        WorkState::Working => "working",
        WorkState::Idle => "idle",
        WorkState::Unknown => "unknown",
    };
    html! {
        section #now.now data-live data-state=(state) aria-label="What is going on" {
            p.sentence {
                @if overview.state == WorkState::Stopped {
                    (overview.sentence)
                } @else {
                    (overview.progress())
                    @if let Some(at) = overview.done_at { ", done about " (time(at)) }
                    "; " (overview.losses()) "."
                }
            }
            @if !overview.obstacles.is_empty() {
                ul.obstacles {
                    @for obstacle in &overview.obstacles {
                        li data-severity=(format!("{:?}", obstacle.severity).to_lowercase()) {
                            // The sentence may have said it already.
                            @if !overview.sentence.contains(&obstacle.what) { span { (obstacle.what) } " " }
                            span.fix { (fix(&obstacle.fix)) }
                        }
                    }
                }
            }
        }
    }
}
