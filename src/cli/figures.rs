//! Numbers, spans of time and foreign texts as people read them.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::store::hold::COUNTED_MAX;

/// Most of a span's units that are shown: whoever waits a day does not count seconds.
const UNITS: usize = 2;

/// Groups the digits of a number: `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many jobs wait, where no more than [`COUNTED_MAX`] are counted.
pub(super) fn jobs_wait(n: u64) -> String {
    match n {
        1 => "1 job waits".to_owned(),
        COUNTED_MAX.. => format!("{} or more jobs wait", grouped(n)),
        _ => format!("{} jobs wait", grouped(n)),
    }
}

/// A span in its two greatest units: `1day 3h`, `25s`; what is below a second is cut.
pub(crate) fn span(time: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    text.split(' ').take(UNITS).collect::<Vec<_>>().join(" ")
}

/// How long `n` calls take at a rate a second; none at a rate of zero.
pub(super) fn time_for(n: u64, per_second: f64) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    Duration::try_from_secs_f64(n as f64 / per_second).ok()
}

/// A number with its noun: `1 job`, `2,000 jobs`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// A rate with the digits that tell it from others: `0.250`, `9.3`, `250`.
pub(crate) fn per_second(rate: f64) -> String {
    match rate {
        ..1.0 => format!("{rate:.3}"),
        1.0..100.0 if rate.fract() >= 0.05 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// An instant in whole seconds.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).expect("the ledger's times lie in years of four digits")
}

/// Texts may repeat what came from outside: nothing in them may steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let is_plain = |c: char| matches!(c, ' '..='~') || c.is_alphanumeric();
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn spans_show_their_two_greatest_units() {
        assert_eq!(span(Duration::from_millis(25_900)), "25s");
        assert_eq!(span(Duration::from_secs(100_007)), "1day 3h");
        assert_eq!(span(Duration::ZERO), "0s");
    }

    #[test]
    fn rates_show_the_digits_that_matter() {
        for (rate, text) in [(0.25, "0.250"), (2.134, "2.1"), (10.0, "10"), (99.96, "100.0"), (250.3, "250")] {
            assert_eq!(per_second(rate), text);
        }
        assert_eq!((counted(1, "job", "jobs"), counted(2000, "job", "jobs")), ("1 job".into(), "2,000 jobs".into()));
    }

    #[test]
    fn no_time_is_enough_at_no_rate() {
        assert_eq!(time_for(100, 10.0), Some(Duration::from_secs(10)));
        assert_eq!(time_for(100, 0.0), None);
    }
}
