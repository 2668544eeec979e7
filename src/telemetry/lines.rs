//! A bounded queue of lines for standard error, and one thread that writes them.
//!
//! Sending a line neither blocks nor fails. A line is lost, and counted, if the queue is full or the line cannot be
//! written (a full disk, a closed pipe). Once writing works again, one line reports how many were lost. `repeats`
//! counts repeated events; the thread wakes up to print the counts.

mod notice;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use notice::notice;

use super::repeats::{RepeatSummary, Repeats};
use super::{LineStyle, panics};

/// Maximum bytes waiting to be written: about a thousand lines.
const QUEUED_MAX: usize = 256 << 10;

/// Minimum time between two lines that report lost lines. During a flood, more of them would make it worse.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// Wait before writing again to a full non-blocking pipe.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(10);

/// The style of the lines that this file creates.
static STYLE: OnceLock<LineStyle> = OnceLock::new();

/// The queue of this process. Creating it starts the thread that writes the lines.
static LINES: LazyLock<Arc<Lines>> = LazyLock::new(|| {
    let lines = Arc::new(Lines::new(lost(), STYLE.get().copied().unwrap_or_default()));
    let writing = Arc::clone(&lines);
    // A stop does not wait for this thread, because it may be blocked forever. If it cannot be started, all lines are
    // lost.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all_to(&mut io::stderr()));
    lines
});

/// Returns the counter of log lines lost since the start of the process.
pub fn lost() -> IntCounter {
    static LOST: LazyLock<IntCounter> = LazyLock::new(|| {
        IntCounter::new("log_lines_lost_total", "Log lines that could not be written.").expect("the name is valid")
    });
    LOST.clone()
}

/// Sets the style of the lines about lost and repeated lines. Must be called before the first line is sent.
pub(super) fn set_style(style: LineStyle) {
    let _ = STYLE.set(style);
}

/// Queues a line, which must end with a newline.
pub(super) fn send(line: Vec<u8>) {
    LINES.send(line);
}

/// Queues a log line, unless it is a repeat.
fn log(line: &[u8]) {
    LINES.log(line, Instant::now());
}

/// Waits until everything queued and all counts of repeats are written, at most for the given duration.
pub(super) fn flush(within: Duration) {
    LINES.flush(within);
}

/// Queues each line that is written to it, but counts repeats instead.
pub(super) struct Sender;

/// A [`Sender`] for one event.
pub(super) struct EventSender {
    may_repeat: bool,
}

impl MakeWriter<'_> for Sender {
    type Writer = EventSender;

    fn make_writer(&self) -> EventSender {
        EventSender { may_repeat: true }
    }

    /// `debug` and `trace` lines are never merged, so that they stay in order, and neither are panics.
    fn make_writer_for(&self, event: &Metadata<'_>) -> EventSender {
        EventSender { may_repeat: *event.level() <= Level::INFO && event.target() != panics::TARGET }
    }
}

impl Write for EventSender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.may_repeat {
            log(line);
        } else {
            send(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The queue.
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
    lost: IntCounter,
    style: LineStyle,
}

struct State {
    queued: VecDeque<Line>,
    n_bytes: usize,
    /// Lost lines not yet reported.
    n_unreported: u64,
    notice_due_at: Instant,
    is_writing: bool,
    repeats: Repeats,
}

/// A line, and how many lines it stands for.
struct Line {
    bytes: Vec<u8>,
    n: u64,
}

impl From<RepeatSummary> for Line {
    fn from(summary: RepeatSummary) -> Self {
        Self { bytes: summary.line, n: summary.n_repeats }
    }
}

/// What to write next.
enum Next {
    Line(Line),
    /// A report that this many lines were lost.
    Notice(u64),
}

impl Lines {
    fn new(lost: IntCounter, style: LineStyle) -> Self {
        let state = State {
            queued: VecDeque::new(),
            n_bytes: 0,
            n_unreported: 0,
            notice_due_at: Instant::now(),
            is_writing: false,
            repeats: Repeats::new(style.format),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), lost, style }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, line: Vec<u8>) {
        self.queue(&mut self.state(), line);
    }

    fn log(&self, line: &[u8], now: Instant) {
        let mut state = self.state();
        if state.repeats.is_new(line, now) {
            self.queue(&mut state, line.to_vec());
        }
    }

    fn queue(&self, state: &mut State, line: Vec<u8>) {
        if state.n_bytes + line.len() > QUEUED_MAX {
            self.count_lost(state, 1);
            return;
        }
        state.push(Line { bytes: line, n: 1 });
        self.changed.notify_all();
    }

    fn count_lost(&self, state: &mut State, n: u64) {
        state.n_unreported += n;
        self.lost.inc_by(n);
    }

    fn flush(&self, within: Duration) {
        let mut state = self.state();
        state.notice_due_at = Instant::now();
        let summaries = state.repeats.take_all();
        for summary in summaries {
            state.push(summary.into());
        }
        self.changed.notify_all();
        let is_busy = |state: &mut State| state.is_writing || !state.queued.is_empty() || state.owes_notice();
        drop(self.changed.wait_timeout_while(state, within, is_busy));
    }

    /// Writes lines forever.
    fn write_all_to(&self, out: &mut impl Write) {
        let mut is_mid_line = false;
        loop {
            let next = self.next();
            let line = match &next {
                Next::Line(line) => &line.bytes,
                Next::Notice(n) => &notice(*n, self.style),
            };
            let line = if is_mid_line { &[b"\n", line.as_slice()].concat() } else { line };
            let written = write_line(out, line);
            is_mid_line = written.is_err_and(|n_written| n_written > 0 || is_mid_line);
            self.note(&next, written.is_ok());
        }
    }

    /// Waits for something to write.
    fn next(&self) -> Next {
        let mut state = self.state();
        loop {
            state.end_windows(Instant::now());
            let next = state.next();
            state.is_writing = next.is_some();
            if let Some(next) = next {
                return next;
            }
            self.changed.notify_all();
            state = if let Some(wait) = state.wait(Instant::now()) {
                let waited = self.changed.wait_timeout(state, wait);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Records whether something was written.
    fn note(&self, written: &Next, is_written: bool) {
        let mut state = self.state();
        match written {
            Next::Line(line) if !is_written => self.count_lost(&mut state, line.n),
            Next::Notice(n) if is_written => state.n_unreported -= n,
            Next::Line(_) | Next::Notice(_) => {}
        }
    }
}

impl State {
    fn owes_notice(&self) -> bool {
        self.n_unreported > 0 && self.notice_due_at <= Instant::now()
    }

    fn next(&mut self) -> Option<Next> {
        if self.owes_notice() {
            self.notice_due_at = Instant::now() + NOTICE_EVERY;
            return Some(Next::Notice(self.n_unreported));
        }
        let line = self.queued.pop_front()?;
        self.n_bytes -= line.bytes.len();
        Some(Next::Line(line))
    }

    fn push(&mut self, line: Line) {
        self.n_bytes += line.bytes.len();
        self.queued.push_back(line);
    }

    /// Queues the counts of repeats that are due. If the queue is full, they are not lost: they wait and grow.
    fn end_windows(&mut self, now: Instant) {
        if self.n_bytes < QUEUED_MAX && self.repeats.due_at().is_some_and(|due_at| due_at <= now) {
            self.repeats.end_due(now).into_iter().for_each(|summary| self.push(summary.into()));
        }
    }

    /// Returns how long to wait for a line. `None`: forever.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let notice = (self.n_unreported > 0).then_some(NOTICE_EVERY);
        let window = self.repeats.due_at().map(|due_at| due_at.saturating_duration_since(now));
        notice.into_iter().chain(window).min()
    }
}

/// Writes a whole line. The error is the number of bytes written before the failure.
fn write_line(out: &mut impl Write, line: &[u8]) -> Result<(), usize> {
    let mut n_written = 0;
    while n_written < line.len() {
        match out.write(&line[n_written..]) {
            Ok(0) => return Err(n_written),
            Ok(n) => n_written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(FULL_PIPE_WAIT),
            Err(_) => return Err(n_written),
        }
    }
    Ok(())
}
