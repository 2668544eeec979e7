//! Repeated log lines: the first is printed, equal ones are counted, and one line reports the count.
//!
//! Two lines are equal if everything except their timestamp is equal: level, target, message and the value of every
//! field. So lines about two different certificates are never merged. The window of a line is ten seconds from when it
//! was first printed. When it ends, the line is printed again with the field `repeated` and the timestamp of the last
//! repeat, and a new window starts. A line without repeats in its window is forgotten.
//!
//! Counts are exact. Memory is bounded: what does not fit is printed unchanged. Pure: the caller owns the clock and the
//! lock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::LogFormat;

/// How long equal lines are counted before the count is printed.
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum number of different lines that are remembered.
const LINES_MAX: usize = 256;

/// Maximum length of a remembered line, in bytes. Together with [`LINES_MAX`], this limits memory to 1 MiB.
const LINE_MAX: usize = 4 << 10;

/// The lines whose windows are open.
pub(super) struct Repeats {
    format: LogFormat,
    /// Keyed by everything that follows the timestamp of a line.
    windows: HashMap<Vec<u8>, RepeatWindow>,
}

/// The open window of one line.
struct RepeatWindow {
    ends_at: Instant,
    n_repeats: u64,
    /// The timestamp of the last repeat, exactly as it starts the line.
    last_stamp: Vec<u8>,
}

/// A line to print in place of its repeats.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct RepeatSummary {
    pub(super) line: Vec<u8>,
    pub(super) n_repeats: u64,
}

impl Repeats {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, windows: HashMap::new() }
    }

    /// Returns whether a line must be printed. If it is a repeat, counts it instead.
    pub(super) fn is_new(&mut self, line: &[u8], now: Instant) -> bool {
        let (stamp, rest) = line.split_at(stamp_len(line));
        if let Some(window) = self.windows.get_mut(rest) {
            // A window that should have ended stays open until its repeats are collected.
            if window.n_repeats > 0 || now < window.ends_at {
                window.n_repeats += 1;
                stamp.clone_into(&mut window.last_stamp);
                return false;
            }
            window.ends_at = now + WINDOW;
        } else if self.windows.len() < LINES_MAX && line.len() <= LINE_MAX {
            let window = RepeatWindow { ends_at: now + WINDOW, n_repeats: 0, last_stamp: vec![] };
            self.windows.insert(rest.to_vec(), window);
        }
        true
    }

    /// Returns when the next window ends.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.windows.values().map(|window| window.ends_at).min()
    }

    /// Ends the windows that are due and returns their repeats.
    pub(super) fn end_due(&mut self, now: Instant) -> Vec<RepeatSummary> {
        let mut summaries = vec![];
        let format = self.format;
        self.windows.retain(|rest, window| {
            if now < window.ends_at {
                return true;
            }
            window.ends_at = now + WINDOW;
            let summary = window.take(rest, format);
            let has_repeats = summary.is_some();
            summaries.extend(summary);
            has_repeats
        });
        in_order(summaries)
    }

    /// Returns all repeats not yet reported. The windows stay open.
    pub(super) fn take_all(&mut self) -> Vec<RepeatSummary> {
        let format = self.format;
        in_order(self.windows.iter_mut().filter_map(|(rest, window)| window.take(rest, format)).collect())
    }
}

impl RepeatWindow {
    /// Takes the repeats, if there are any.
    fn take(&mut self, rest: &[u8], format: LogFormat) -> Option<RepeatSummary> {
        let n_repeats = std::mem::take(&mut self.n_repeats);
        let stamp = std::mem::take(&mut self.last_stamp);
        (n_repeats > 0).then(|| RepeatSummary { line: with_count(stamp, rest, n_repeats, format), n_repeats })
    }
}

/// Sorts by timestamp, because a map has no order.
fn in_order(mut summaries: Vec<RepeatSummary>) -> Vec<RepeatSummary> {
    summaries.sort_unstable_by(|a, b| a.line.cmp(&b.line));
    summaries
}

/// Returns the length of the timestamp that starts a line. It ends with the `Z` of UTC in every format.
fn stamp_len(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b'Z').map_or(0, |i| i + 1)
}

/// Returns the line with its count, as the last field of a text line or the first of a JSON line.
fn with_count(stamp: Vec<u8>, rest: &[u8], n_repeats: u64, format: LogFormat) -> Vec<u8> {
    const FIELDS: &[u8] = br#""fields":{"#;
    let mut line = stamp;
    match format {
        LogFormat::Text => {
            line.extend(rest.trim_ascii_end());
            line.extend(format!(" repeated={n_repeats}\n").bytes());
        }
        LogFormat::Json => {
            let at = rest.windows(FIELDS.len()).position(|bytes| bytes == FIELDS).map_or(0, |i| i + FIELDS.len());
            let comma = if rest.get(at) == Some(&b'}') { "" } else { "," };
            line.extend(&rest[..at]);
            line.extend(format!("\"repeated\":{n_repeats}{comma}").bytes());
            line.extend(&rest[at..]);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str = " WARN muster::receiver: cannot receive messages error=timeout\n";

    /// Returns a line logged the given number of seconds after the start.
    fn line(second: u64, rest: &str) -> Vec<u8> {
        format!("2026-11-28T06:00:{second:02}Z {rest}").into_bytes()
    }

    fn texts(summaries: Vec<RepeatSummary>) -> Vec<String> {
        summaries.into_iter().map(|summary| String::from_utf8(summary.line).unwrap()).collect()
    }

    /// Returns empty repeats and a clock in seconds since the start.
    fn start() -> (Repeats, impl Fn(u64) -> Instant) {
        let began = Instant::now();
        (Repeats::new(LogFormat::Text), move |second| began + Duration::from_secs(second))
    }

    #[test]
    fn equal_lines_of_one_window_are_printed_once_and_counted() {
        let (mut repeats, at) = start();
        let is_new: Vec<_> = (0..5).map(|second| repeats.is_new(&line(second, ERROR), at(second))).collect();
        assert_eq!(is_new, [true, false, false, false, false]);
        assert_eq!((repeats.end_due(at(9)), repeats.due_at()), (vec![], Some(at(10))));
        let expected =
            "2026-11-28T06:00:04Z  WARN muster::receiver: cannot receive messages error=timeout repeated=4\n";
        assert_eq!(texts(repeats.end_due(at(10))), [expected]);
    }

    #[test]
    fn a_recurring_line_is_printed_once_and_counts_add_up() {
        let (mut repeats, at) = start();
        let (mut n_printed, mut n_counted) = (0, 0);
        for second in 0..60 {
            n_printed += u64::from(repeats.is_new(&line(second, ERROR), at(second)));
            n_counted += repeats.end_due(at(second)).iter().map(|summary| summary.n_repeats).sum::<u64>();
        }
        n_counted += repeats.take_all().iter().map(|summary| summary.n_repeats).sum::<u64>();
        assert_eq!((n_printed, n_counted, repeats.take_all()), (1, 59, vec![]));
    }

    #[test]
    fn a_line_without_repeats_is_forgotten() {
        let (mut repeats, at) = start();
        assert!(repeats.is_new(&line(0, ERROR), at(0)));
        assert_eq!((repeats.end_due(at(10)), repeats.due_at()), (vec![], None));
        assert!(repeats.is_new(&line(11, ERROR), at(11)));
        // Even if its window was never ended.
        assert!(repeats.is_new(&line(30, ERROR), at(30)));
        assert_eq!(repeats.due_at(), Some(at(40)));
    }

    #[test]
    fn lines_that_differ_in_a_field_are_never_merged() {
        let (mut repeats, at) = start();
        let other = ERROR.replace("timeout", "denied");
        assert!(repeats.is_new(&line(0, ERROR), at(0)) && repeats.is_new(&line(1, &other), at(1)));
        repeats.is_new(&line(2, &other), at(2));
        repeats.is_new(&line(1, ERROR), at(1));
        let texts = texts(repeats.take_all());
        assert!(texts.len() == 2 && texts[0].contains("timeout repeated=1") && texts[1].contains("denied repeated=1"));
    }

    #[test]
    fn lines_beyond_the_limits_are_printed_unchanged() {
        let (mut repeats, at) = start();
        for i in 0..LINES_MAX {
            assert!(repeats.is_new(&line(0, &i.to_string()), at(0)));
        }
        assert!(repeats.is_new(&line(0, "one more"), at(0)) && repeats.is_new(&line(0, "one more"), at(0)));
        assert!(!repeats.is_new(&line(0, "0"), at(0)));
        let (mut repeats, long) = (Repeats::new(LogFormat::Text), line(0, &"x".repeat(LINE_MAX)));
        assert!(repeats.is_new(&long, at(0)) && repeats.is_new(&long, at(0)) && repeats.due_at().is_none());
    }

    #[test]
    fn a_json_line_stays_json() {
        for (fields, with_count) in [
            (r#"{"message":"a \"fields\":{"}"#, r#"{"repeated":1,"message":"a \"fields\":{"}"#),
            ("{}", r#"{"repeated":1}"#),
        ] {
            let mut repeats = Repeats::new(LogFormat::Json);
            let line =
                |fields| format!(r#"{{"timestamp":"2026-11-28T06:00:00Z","level":"INFO","fields":{fields}}}"#) + "\n";
            let now = Instant::now();
            repeats.is_new(line(fields).as_bytes(), now);
            repeats.is_new(line(fields).as_bytes(), now);
            assert_eq!(texts(repeats.take_all()), [line(with_count)]);
        }
    }
}
