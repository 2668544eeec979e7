//! The overview: chart, workers, queues, rates and holds.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::chart;
use super::frame::{Frame, PageResult, Section};
use super::holds::{is_paused, pause_form, resume_form};
use super::parts::{ago, number, number_or_unknown};
use crate::http::guard::Viewer;
use crate::http::request::Params;
use crate::http::site::Site;
use crate::operator::history::{ChartRange, History};
use crate::operator::holds::{HoldLine, holds};
use crate::operator::overview::Overview;
use crate::operator::pausing::PauseScope;
use muster_core::format::rate;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OverviewParams {
    range: ChartRange,
}

pub(super) async fn show(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<OverviewParams>,
) -> PageResult {
    let overview = Overview::read(&site.ledger).await?;
    let history = History::read(&site.ledger, params.range).await?;
    let holds = holds(&site.ledger).await?;
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Overview };
    let content = html! {
        h1 { "Overview" }
        (numbers(&overview))
        section #chart data-live {
            (ranges(params.range))
            (chart(&history))
        }
        (workers(&overview))
        (queues(&overview))
        (rates(&overview))
        (held(&holds))
        @if frame.may_change() { section #pause data-live { (pause(is_paused(&holds, &PauseScope::All))) } }
    };
    Ok(frame.render_with("Overview", &overview, &content))
}

fn numbers(overview: &Overview) -> Markup {
    html! {
        dl.numbers #numbers data-live {
            div { dt { "in the queues" } dd { (number_or_unknown(overview.queue_messages)) } }
            div {
                dt { "outcomes per second" }
                dd { @match overview.rate { Some(now) => (rate(now)), None => span.none { "not yet known" } } }
            }
            div { dt { "quota per second" } dd { (rate(overview.quota)) } }
            div { dt { "failed in 24 hours" } dd { (number_or_unknown(overview.failed_last_day)) } }
            div { dt { "missing" } dd { (number_or_unknown(overview.missing)) } }
            div { dt { "parked" } dd { (number(overview.parked)) } }
            div { dt { "dead letters" } dd { (number_or_unknown(overview.dead_letters)) } }
            div { dt { "quarantined" } dd { (number(overview.quarantined)) } }
        }
    }
}

fn ranges(current: ChartRange) -> Markup {
    html! {
        p.choices {
            @for (range, name) in [(ChartRange::Hour, "hour"), (ChartRange::Day, "day"), (ChartRange::Month, "31 days")] {
                a href={ "/?range=" (range) } aria-current=[(range == current).then_some("true")] { (name) }
            }
        }
    }
}

fn workers(overview: &Overview) -> Markup {
    html! {
        section #workers data-live {
            h2 { "Workers" }
            @if overview.workers.is_empty() { p { "No worker has reported in the last day." } } @else {
                div.scroll role="group" aria-label="Workers" tabindex="0" { table {
                    thead { tr { th { "host" } th.n { "process" } th { "version" } th { "last heartbeat" } th { "open breakers" } } }
                    tbody {
                        @for worker in &overview.workers {
                            tr {
                                td { (worker.host) } td.n { (worker.pid) } td { (worker.version) }
                                td { (ago(worker.seen_seconds_ago)) @if !worker.is_alive { " " strong { "silent" } } }
                                td {
                                    @for breaker in &worker.breakers {
                                        div { (breaker.breaker) " " (breaker.what) ": " (breaker.reason) }
                                    }
                                    @if worker.breakers.is_empty() { span.none { "none" } }
                                }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn queues(overview: &Overview) -> Markup {
    html! {
        section #queues data-live {
            h2 { "Queues" }
            @if overview.queues.is_empty() { p { "No worker has read a queue yet." } } @else {
                div.scroll role="group" aria-label="Queues" tabindex="0" { table {
                    thead { tr { th { "queue" } th.n { "messages" } th.n { "dead letters" } th { "read" } } }
                    tbody {
                        @for queue in &overview.queues {
                            tr {
                                td { (queue.queue) }
                                td.n { (number_or_unknown(queue.messages.filter(|_| queue.is_fresh))) }
                                td.n { (number_or_unknown(queue.dead_letters.filter(|_| queue.is_fresh))) }
                                td { (ago(queue.read_seconds_ago)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn rates(overview: &Overview) -> Markup {
    html! {
        section #rates data-live {
            h2 { "Rates" }
            @if overview.rates.is_empty() { p { "No worker has opened a quota yet." } } @else {
                div.scroll role="group" aria-label="Rates" tabindex="0" { table {
                    thead { tr { th { "target" } th { "operation" } th.n { "quota per second" } th.n { "learnt" } } }
                    tbody {
                        @for learnt in &overview.rates {
                            tr {
                                td { (learnt.target) } td { (learnt.operation) }
                                td.n { (rate(learnt.ceiling)) } td.n { (rate(learnt.learnt)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn held(holds: &[HoldLine]) -> Markup {
    html! {
        section #held data-live {
            h2 { a href="/holds" { "Holds" } }
            @if holds.is_empty() { p { "Nothing is held." } } @else {
                ul { @for hold in holds.iter().take(20) { li { (hold.title) ", " (number(hold.n_waiting)) " waiting" } } }
                @if holds.len() > 20 { p { a href="/holds" { "All " (holds.len()) " holds" } } }
            }
        }
    }
}

fn pause(is_paused: bool) -> Markup {
    html! {
        @if is_paused {
            h2 { "Everything is paused" }
            (resume_form(PauseScope::All.hold().as_str(), "Resume all workers"))
        } @else {
            h2 { "Pause everything" }
            (pause_form(&PauseScope::All, "Pause all workers"))
        }
    }
}
