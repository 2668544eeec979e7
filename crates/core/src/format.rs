//! Formats counts, rates and durations for display.
//!
//! Everything that prints a duration uses [`span`]: commands, errors, findings and log lines. Settings have their own
//! syntax (`config::units`), which must be valid in a settings file. Pure: no clock, no I/O.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Significant digits of a rate: a measured rate is no more precise.
const DIGITS: i32 = 3;

/// The units of a duration, largest first: seconds, singular, plural.
const UNITS: [(u64, &str, &str); 5] =
    [(365 * 86_400, "year", "years"), (86_400, "day", "days"), (3_600, "h", "h"), (60, "min", "min"), (1, "s", "s")];

/// Formats a duration in its largest unit and the next one: `1 day 3 h`, `5 min 10 s`, `25 s`, `1.2 s`, `820 ms`. The
/// rest is truncated.
pub fn span(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    match (seconds, millis) {
        (0, 0) if time.is_zero() => "0 s".to_owned(),
        (0, 0) => "<1 ms".to_owned(),
        (0, _) => format!("{millis} ms"),
        (1..=9, 100..) => format!("{seconds}.{} s", millis / 100),
        _ => whole_seconds(seconds),
    }
}

/// Formats a duration of whole seconds.
fn whole_seconds(seconds: u64) -> String {
    let largest = UNITS.iter().position(|(unit, ..)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, one, many) in UNITS.iter().skip(largest).take(2) {
        let n = rest / unit;
        rest %= unit;
        if n > 0 || parts.is_empty() {
            parts.push(format!("{} {}", grouped(n), if n == 1 { one } else { many }));
        } else {
            break;
        }
    }
    parts.join(" ")
}

/// Groups the digits of a number: `1,234,567`.
pub fn grouped(n: u64) -> String {
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

/// Formats a count with its noun: `1 batch`, `2 batches`, `12,000 rows`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// Replaces the characters of an untrusted text that could control a terminal.
pub fn printable(text: &str) -> String {
    let is_plain = |c: char| matches!(c, ' '..='~') || c.is_alphanumeric();
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Formats a timestamp in whole seconds.
///
/// # Panics
/// The year has more than four digits, which no timestamp of Muster's own has. The dates of a certificate may.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).expect("the ledger's timestamps have four-digit years")
}

/// Returns how long `n` calls take at a rate per second; `None` at a rate of zero.
pub fn time_for(n: u64, per_second: f64) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    Duration::try_from_secs_f64(n as f64 / per_second).ok()
}

/// Rounds a rate to at most three significant digits, for a field of a log line.
pub fn rounded(rate: f64) -> f64 {
    if rate == 0.0 || !rate.is_finite() {
        return rate;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of an f64 is below 400")]
    let exponent = rate.abs().log10().floor() as i32;
    let decimals = DIGITS - 1 - exponent;
    // Dividing by a power of ten gives the nearest number with few digits; multiplying by its inverse does not.
    let power = 10f64.powi(decimals.abs());
    if decimals >= 0 { (rate * power).round() / power } else { (rate / power).round() * power }
}

/// Formats a rate with at most three significant digits: `9.3`, `14.9`, `200`.
pub fn rate(rate: f64) -> String {
    rounded(rate).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_largest_unit_and_the_next() {
        let seconds = |seconds| span(Duration::from_secs(seconds));
        for (n, text) in [
            (0, "0 s"),
            (1, "1 s"),
            (25, "25 s"),
            (60, "1 min"),
            (310, "5 min 10 s"),
            (3_600, "1 h"),
            (11_220, "3 h 7 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 day"),
            (100_007, "1 day 3 h"),
            (2 * 86_400 + 59, "2 days"),
            (14 * 86_400, "14 days"),
            (366 * 86_400, "1 year 1 day"),
        ] {
            assert_eq!(seconds(n), text, "{n} s");
        }
        assert!(seconds(u64::MAX).contains(" years"));
    }

    #[test]
    fn a_short_span_shows_tenths_or_milliseconds() {
        for (micros, text) in [
            (500, "<1 ms"),
            (1_000, "1 ms"),
            (820_900, "820 ms"),
            (1_000_000, "1 s"),
            (1_250_000, "1.2 s"),
            (9_999_999, "9.9 s"),
            (25_900_000, "25 s"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), text, "{micros} us");
        }
    }

    #[test]
    fn a_rate_of_zero_has_no_duration() {
        assert_eq!(time_for(100, 10.0), Some(Duration::from_secs(10)));
        assert_eq!(time_for(100, 0.0), None);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn one_is_singular() {
        let batches = |n| counted(n, "batch", "batches");
        assert_eq!([0, 1, 2, 12_000].map(batches), ["0 batches", "1 batch", "2 batches", "12,000 batches"]);
    }

    #[test]
    fn a_rate_has_at_most_three_digits() {
        for (given, text) in [
            (0.0, "0"),
            (9.299_999_999_999_98, "9.3"),
            (14.853_7, "14.9"),
            (0.033_333, "0.0333"),
            (199.96, "200"),
            (729.0, "729"),
            (1_234.5, "1230"),
        ] {
            assert_eq!(rate(given), text, "{given}");
        }
        assert!(rounded(f64::NAN).is_nan() && rounded(f64::INFINITY).is_infinite());
    }
}
