//! A chart of outcomes per minute against the quota.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::parts::{number, time};
use crate::operator::history::{ChartPoint, ChartRange, History};
use muster_core::format::grouped;

/// Size of the chart in its own units.
const SIZE: (f64, f64) = (720.0, 120.0);

/// A chart and what it needs to place a point.
struct Chart<'a> {
    history: &'a History,
    begin: OffsetDateTime,
    n_slots: i64,
    /// The value at the top.
    max: f64,
}

/// Draws the history of a range, with its numbers in a table below.
pub(super) fn chart(history: &History) -> Markup {
    let chart = Chart::new(history);
    let per = match history.range {
        ChartRange::Hour => "minute, last hour",
        ChartRange::Day => "ten minutes, last day",
        ChartRange::Month => "six hours, last 31 days",
    };
    let total: u64 = history.points.iter().map(|point| point.registered).sum();
    let label = format!("Registrations per {per}: {} in total", grouped(total));
    html! {
        figure.chart {
            figcaption {
                "Outcomes per " (per) ". "
                @match history.began_at {
                    Some(at) if at > chart.begin => { "Nothing is known before " (time(at)) ". " }
                    Some(_) => {}
                    None => { "Nothing has been recorded yet. " }
                }
                span.key.registered { "registered" } " " span.key.failed { "failed" } " "
                span.key.throttled { "throttled" } " "
                @if history.quota > 0.0 { span.key.quota { "quota " (grouped(chart.quota_per_point())) } }
            }
            svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } preserveAspectRatio="none" role="img" aria-label=(label) {
                title { (label) }
                @for point in &history.points { (chart.column(point)) }
                (chart.quota())
            }
            p.axis { (time(chart.begin)) span { "now" } }
            details {
                summary { "Numbers" }
                (table(&history.points))
            }
        }
    }
}

impl<'a> Chart<'a> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    fn new(history: &'a History) -> Self {
        let (covered, point) = history.range.spans();
        let n_slots = i64::try_from(covered.as_secs() / point.as_secs()).unwrap_or(1) + 1;
        let seconds = i64::try_from(point.as_secs()).unwrap_or(1);
        let last = history.read_at.unix_timestamp().div_euclid(seconds) * seconds;
        let begin = OffsetDateTime::from_unix_timestamp(last - (n_slots - 1) * seconds).unwrap_or(history.read_at);
        let highest = history.points.iter().map(|point| point.n_outcomes().max(point.throttled)).max().unwrap_or(0);
        let quota = history.quota * history.point_seconds as f64;
        Self { history, begin, n_slots, max: f64::max(highest as f64, quota).max(1.0) * 1.05 }
    }

    #[expect(clippy::cast_precision_loss, reason = "a chart has at most some hundred columns")]
    fn column(&self, point: &ChartPoint) -> Markup {
        let seconds = i64::try_from(self.history.point_seconds).unwrap_or(1);
        let slot = (point.at - self.begin).whole_seconds().div_euclid(seconds);
        let width = SIZE.0 / self.n_slots as f64;
        let x = slot as f64 * width;
        let good = self.height(point.registered + point.already_registered);
        let failed = self.height(point.failed);
        let throttled = self.height(point.throttled);
        html! {
            @if (0..self.n_slots).contains(&slot) {
                (bar("registered", x, width, SIZE.1 - good, good))
                (bar("failed", x, width, SIZE.1 - good - failed, failed))
                (bar("throttled", x + width * 0.6, width * 0.4, SIZE.1 - throttled, throttled))
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    fn height(&self, n: u64) -> f64 {
        n as f64 / self.max * SIZE.1
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "for people"
    )]
    fn quota_per_point(&self) -> u64 {
        (self.history.quota * self.history.point_seconds as f64).round() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "the length of a point is at most a day")]
    fn quota(&self) -> Markup {
        let y = SIZE.1 * (1.0 - self.history.quota * self.history.point_seconds as f64 / self.max);
        html! {
            @if self.history.quota > 0.0 {
                line.quota x1="0" x2=(SIZE.0) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
            }
        }
    }
}

fn bar(class: &str, x: f64, width: f64, y: f64, height: f64) -> Markup {
    html! {
        @if height > 0.0 {
            rect class=(class) x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{:.1}", width * 0.9))
                height=(format!("{height:.1}")) {}
        }
    }
}

fn table(points: &[ChartPoint]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "from" } th.n { "registered" } th.n { "already" } th.n { "failed" } th.n { "parked" }
                    th.n { "throttled" }
                }
            }
            tbody {
                @for point in points.iter().rev() {
                    tr {
                        td { (time(point.at)) }
                        td.n { (number(point.registered)) }
                        td.n { (number(point.already_registered)) }
                        td.n { (number(point.failed)) }
                        td.n { (number(point.parked)) }
                        td.n { (number(point.throttled)) }
                    }
                }
            }
        }
    }
}
