//! Equal log lines in a row: the first is printed, the others are counted, and a later line says how many there were.
//!
//! Two lines are equal if they differ in nothing but the timestamp. What is counted is printed ten seconds after the first
//! line, and at the end of the process, as the last of these lines with `repeated=N`. Nothing is dropped: lines printed plus
//! `repeated` is the number of events. Memory is bounded; lines beyond the bound are printed as they are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Format;

/// How long equal lines are counted before the count is printed.
const WINDOW: Duration = Duration::from_secs(10);

/// Most different lines that are remembered, and the longest of them in bytes: 1 MiB in all, twice.
const REMEMBERED_MAX: usize = 256;
const LENGTH_MAX: usize = 4096;

/// The lines of the last seconds.
#[derive(Debug)]
pub(super) struct Repeats {
    format: Format,
    seen: HashMap<Vec<u8>, Seen>,
}

/// What became of one line.
#[derive(Debug)]
struct Seen {
    until: Instant,
    /// How often it came again.
    n: u64,
    /// The last of these lines.
    last: Vec<u8>,
}

/// A line that stands for a number of events.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Counted {
    pub line: Vec<u8>,
    pub n_events: u64,
}

impl Repeats {
    /// Remembers nothing yet; `format` says how lines look.
    pub(super) fn new(format: Format) -> Self {
        Self { format, seen: HashMap::new() }
    }

    /// Returns a line that is to be printed; `None` for one that is only counted.
    pub(super) fn admit(&mut self, line: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        let key = self.without_timestamp(&line);
        if let Some(seen) = self.seen.get_mut(key) {
            seen.n += 1;
            seen.last = line;
            return None;
        }
        if line.len() <= LENGTH_MAX && self.has_room(now) {
            self.seen.insert(self.without_timestamp(&line).to_vec(), Seen { until: now + WINDOW, n: 0, last: vec![] });
        }
        Some(line)
    }

    /// Takes the counts that are to be printed by now, and forgets lines that did not come again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Counted> {
        let (mut due, format) = (Vec::new(), self.format);
        self.seen.retain(|_, seen| {
            if seen.until > now {
                return true;
            }
            seen.until = now + WINDOW;
            let counted = seen.take(format);
            let came_again = counted.is_some();
            due.extend(counted);
            came_again
        });
        due
    }

    /// Takes all counts.
    pub(super) fn take_all(&mut self) -> Vec<Counted> {
        self.seen.drain().filter_map(|(_, mut seen)| seen.take(self.format)).collect()
    }

    /// When the next count is to be printed; `None`: there is none.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.seen.values().filter(|seen| seen.n > 0).map(|seen| seen.until).min()
    }

    /// Forgets what is over where there is no room left.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen.retain(|_, seen| seen.n > 0 || seen.until > now);
        }
        self.seen.len() < REMEMBERED_MAX
    }

    /// What follows the timestamp, which ends with the first space of a text and the first comma of an object.
    fn without_timestamp<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        let end = match self.format {
            Format::Text => b' ',
            Format::Json => b',',
        };
        let at = line.iter().position(|&byte| byte == end).unwrap_or(0);
        &line[at..]
    }
}

impl Seen {
    /// The line that says how often it came again; `None`: it did not.
    fn take(&mut self, format: Format) -> Option<Counted> {
        let n_events = std::mem::take(&mut self.n);
        let line = std::mem::take(&mut self.last);
        (n_events > 0).then(|| Counted { line: with_count(line, n_events, format), n_events })
    }
}

/// Adds the count to a line.
fn with_count(mut line: Vec<u8>, n: u64, format: Format) -> Vec<u8> {
    let (end, count) = match format {
        Format::Text => ("\n", format!(" repeated={n}\n")),
        Format::Json => ("}\n", format!(",\"repeated\":{n}}}\n")),
    };
    if line.ends_with(end.as_bytes()) {
        line.truncate(line.len() - end.len());
    }
    line.extend(count.into_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(repeats: &mut Repeats, second: u64, text: &str, now: Instant) -> bool {
        repeats.admit(format!("2026-11-28T06:00:{second:02}Z  WARN {text}\n").into_bytes(), now).is_some()
    }

    fn lines(counted: Vec<Counted>) -> Vec<(String, u64)> {
        counted.into_iter().map(|it| (String::from_utf8(it.line).unwrap(), it.n_events)).collect()
    }

    #[test]
    fn equal_lines_are_printed_once_and_counted_exactly() {
        let (mut repeats, start) = (Repeats::new(Format::Text), Instant::now());
        assert!(text(&mut repeats, 0, "refused", start));
        for second in 1..=5 {
            assert!(!text(&mut repeats, second, "refused", start + Duration::from_secs(second)));
        }
        assert!(text(&mut repeats, 5, "denied", start), "another line");
        assert_eq!(repeats.next_due(), Some(start + WINDOW));
        assert_eq!(repeats.due(start + WINDOW / 2), []);
        let counted = "2026-11-28T06:00:05Z  WARN refused repeated=5\n".to_owned();
        assert_eq!(lines(repeats.due(start + WINDOW)), [(counted, 5)]);
        // It goes on: further ones are counted, not printed.
        assert!(!text(&mut repeats, 11, "refused", start + WINDOW));
        assert_eq!(lines(repeats.due(start + WINDOW * 2))[0].1, 1);
        // It stopped: the next one is new.
        assert_eq!(repeats.due(start + WINDOW * 3), []);
        assert!(text(&mut repeats, 31, "refused", start + WINDOW * 3));
    }

    #[test]
    fn lines_that_name_different_things_are_different() {
        let (mut repeats, now) = (Repeats::new(Format::Text), Instant::now());
        assert!(text(&mut repeats, 0, "no job message_id=1", now) && text(&mut repeats, 0, "no job message_id=2", now));
    }

    #[test]
    fn the_count_of_an_object_is_a_field() {
        let (mut repeats, now) = (Repeats::new(Format::Json), Instant::now());
        let line = |second: u32| format!("{{\"timestamp\":\"06:00:0{second}Z\",\"level\":\"WARN\"}}\n").into_bytes();
        assert!(repeats.admit(line(0), now).is_some() && repeats.admit(line(1), now).is_none());
        let wanted = "{\"timestamp\":\"06:00:01Z\",\"level\":\"WARN\",\"repeated\":1}\n".to_owned();
        assert_eq!(lines(repeats.take_all()), [(wanted, 1)]);
        assert_eq!(repeats.take_all(), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut repeats, now) = (Repeats::new(Format::Text), Instant::now());
        for n in 0..REMEMBERED_MAX * 2 {
            assert!(text(&mut repeats, 0, &format!("line {n}"), now));
        }
        assert!(
            text(&mut repeats, 0, &"x".repeat(LENGTH_MAX), now) && text(&mut repeats, 0, &"x".repeat(LENGTH_MAX), now)
        );
        assert!(repeats.seen.len() <= REMEMBERED_MAX);
        let later = now + WINDOW;
        assert!(text(&mut repeats, 10, "new", later) && !text(&mut repeats, 10, "new", later), "old ones made room");
    }
}
