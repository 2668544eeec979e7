//! Small parts of pages: numbers, times, commands, progress bars.

use axum::http::StatusCode;
use maud::{Markup, html};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::http::problem::Problem;
use muster_core::format::{grouped, rfc3339, span};

/// Shows a time in UTC; the script replaces it with the reader's time and leaves UTC in the title.
pub(super) fn time(at: OffsetDateTime) -> Markup {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let utc = at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| at.to_string());
    html! { time datetime=(rfc3339(at)) title=(utc) { (utc) } }
}

/// Shows a time that may be missing.
pub(super) fn time_or_none(at: Option<OffsetDateTime>) -> Markup {
    html! { @match at { Some(at) => (time(at)), None => span.none { "none" } } }
}

/// Shows a number with grouped digits.
pub(super) fn number(n: u64) -> Markup {
    html! { (grouped(n)) }
}

/// Shows a number that may be unknown: never as zero.
pub(super) fn number_or_unknown(n: Option<u64>) -> Markup {
    html! { @match n { Some(n) => (grouped(n)), None => span.none { "unknown" } } }
}

/// Shows how long ago something was.
pub(super) fn ago(seconds: u64) -> String {
    format!("{} ago", span(std::time::Duration::from_secs(seconds)))
}

/// Shows how long something takes.
pub(super) fn duration(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds).map_or_else(|_| "unknown".to_owned(), span)
}

/// Reads the beginning of a day in UTC, such as `2026-11-28`; an empty text is none.
pub(super) fn day(text: &str) -> Result<Option<OffsetDateTime>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, format!("`{text}` is not a day such as 2026-11-28"));
    Ok(Some(day.map_err(wrong)?.midnight().assume_utc()))
}

/// The five parts of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub(super) registered: u64,
    pub(super) failed: u64,
    pub(super) parked: u64,
    pub(super) being_resent: u64,
    /// Outstanding or missing.
    pub(super) outstanding: u64,
    pub(super) is_missing: bool,
}

/// Width of a progress bar in its own units.
const WIDTH: u64 = 1000;

impl Parts {
    /// Draws the progress bar.
    pub(super) fn bar(self) -> Markup {
        let rest = if self.is_missing { "missing" } else { "outstanding" };
        let parts = [
            ("registered", "registered", self.registered),
            ("failed", "failed", self.failed),
            ("parked", "parked", self.parked),
            ("resent", "being resent", self.being_resent),
            (rest, rest, self.outstanding),
        ];
        let total = parts.iter().map(|(.., n)| n).sum::<u64>().max(1);
        let label = parts.iter().filter(|(.., n)| *n > 0).map(|(_, name, n)| format!("{} {name}", grouped(*n)));
        let label = label.collect::<Vec<_>>().join(", ");
        let mut at = 0;
        html! {
            svg.bar viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" role="img" aria-label=(label) {
                title { (label) }
                @for (class, _, n) in parts {
                    @if n > 0 {
                        rect class=(class) x=(at) y="0" width=(width(n, total)) height="10" {}
                    }
                    @let _next = { at += width(n, total); at };
                }
            }
        }
    }
}

/// Returns the width of a part: at least visible if there is any.
fn width(n: u64, total: u64) -> u64 {
    if n == 0 { 0 } else { (n.saturating_mul(WIDTH) / total).max(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_does_not_exist_is_a_problem() {
        assert_eq!(day("").unwrap(), None);
        assert!(day("2026-11-28").unwrap().is_some() && day("2026-02-30").is_err() && day("x").is_err());
    }

    #[test]
    fn an_unknown_number_is_not_zero() {
        assert_eq!(number_or_unknown(None).into_string(), "<span class=\"none\">unknown</span>");
        assert_eq!(number_or_unknown(Some(0)).into_string(), "0");
    }

    #[test]
    fn a_bar_shows_even_a_single_failure() {
        let parts = Parts { registered: 1_000_000, failed: 1, ..Parts::default() };
        let bar = parts.bar().into_string();
        assert!(bar.contains("class=\"failed\" x=\"999\" y=\"0\" width=\"4\""), "{bar}");
        assert!(bar.contains("1,000,000 registered, 1 failed"), "{bar}");
    }
}
