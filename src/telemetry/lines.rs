//! Lines on their way to standard error: a bounded queue, and one thread that writes.
//!
//! Whoever sends a line neither waits nor fails. A line that finds the queue full, or that cannot be written (a full disk, a
//! closed pipe), is lost and counted. As soon as writing works again, one line says how many were lost.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, dispatcher, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::Look;
use super::repeats::{Counted, Repeats};

/// Most bytes that wait to be written: about a thousand lines.
const QUEUED_MAX: usize = 256 << 10;

/// Least time between two lines about lost lines: while a flood lasts, they would make it worse.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// How long a full pipe that does not block is left alone.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(10);

/// The look of the lines that this file makes.
static LOOK: OnceLock<Look> = OnceLock::new();

/// The lines of this process, and the thread that writes them.
static LINES: LazyLock<Arc<Lines>> = LazyLock::new(|| {
    let lines = Arc::new(Lines::new(lost()));
    let writing = Arc::clone(&lines);
    // A thread of its own, and none that a stop waits for: it may be blocked for ever. Without it, all lines are lost.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all_to(&mut io::stderr()));
    lines
});

/// The number of log lines that were lost since the start of the process.
pub fn lost() -> IntCounter {
    static LOST: LazyLock<IntCounter> = LazyLock::new(|| {
        IntCounter::new("log_lines_lost_total", "Log lines that could not be written.").expect("the name is valid")
    });
    LOST.clone()
}

/// Sets the look of the lines about lost lines.
pub(super) fn set_look(look: Look) {
    let _ = LOOK.set(look);
}

/// Queues a line, which ends with a newline.
pub(super) fn send(line: Vec<u8>) {
    LINES.send(line);
}

/// Queues the line of an event, or counts it if an equal one was queued a moment ago.
fn send_event(line: Vec<u8>) {
    LINES.send_event(line);
}

/// Waits until everything queued is written, or the time has passed.
pub(super) fn flush(within: Duration) {
    LINES.flush(within);
}

/// Queues each line that is written to it.
pub(super) struct Sender;

impl Write for Sender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        send_event(line.to_vec());
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
}

struct State {
    queued: VecDeque<Counted>,
    n_bytes: usize,
    repeats: Repeats,
    /// Lost lines that no line reported yet.
    n_unreported: u64,
    notice_due_at: Instant,
    is_writing: bool,
}

/// What is to be written next.
enum Next {
    Line(Counted),
    /// That so many lines were lost.
    Notice(u64),
}

impl Lines {
    fn new(lost: IntCounter) -> Self {
        let state = State {
            queued: VecDeque::new(),
            n_bytes: 0,
            repeats: Repeats::new(LOOK.get().copied().unwrap_or_default().format),
            n_unreported: 0,
            notice_due_at: Instant::now(),
            is_writing: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), lost }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, line: Vec<u8>) {
        let mut state = self.state();
        self.queue(&mut state, Counted { line, n_events: 1 });
    }

    fn send_event(&self, line: Vec<u8>) {
        let mut state = self.state();
        match state.repeats.admit(line, Instant::now()) {
            Some(line) => self.queue(&mut state, Counted { line, n_events: 1 }),
            // The thread that writes waits until the count is due.
            None => self.changed.notify_all(),
        }
    }

    fn queue(&self, state: &mut State, line: Counted) {
        if state.n_bytes + line.line.len() > QUEUED_MAX {
            self.count_lost(state, line.n_events);
            return;
        }
        state.n_bytes += line.line.len();
        state.queued.push_back(line);
        self.changed.notify_all();
    }

    fn count_lost(&self, state: &mut State, n_events: u64) {
        state.n_unreported += n_events;
        self.lost.inc_by(n_events);
    }

    fn flush(&self, within: Duration) {
        let mut state = self.state();
        for line in state.repeats.take_all() {
            self.queue(&mut state, line);
        }
        state.notice_due_at = Instant::now();
        self.changed.notify_all();
        let is_busy = |state: &mut State| state.is_writing || !state.queued.is_empty() || state.owes_notice();
        drop(self.changed.wait_timeout_while(state, within, is_busy));
    }

    /// Writes what comes, for ever.
    fn write_all_to(&self, out: &mut impl Write) {
        let mut is_mid_line = false;
        loop {
            let next = self.next();
            let lost;
            let line: &[u8] = match &next {
                Next::Line(line) => &line.line,
                Next::Notice(n) => {
                    lost = notice(*n);
                    &lost
                }
            };
            let line = if is_mid_line { &[b"\n", line].concat() } else { line };
            let written = write_line(out, line);
            is_mid_line = written.is_err_and(|n_written| n_written > 0 || is_mid_line);
            self.note(&next, written.is_ok());
        }
    }

    /// Waits for something to write.
    fn next(&self) -> Next {
        let mut state = self.state();
        loop {
            for line in state.repeats.due(Instant::now()) {
                self.queue(&mut state, line);
            }
            let next = state.next();
            state.is_writing = next.is_some();
            if let Some(next) = next {
                return next;
            }
            self.changed.notify_all();
            state = match state.wait() {
                Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Notes what became of something that was to be written.
    fn note(&self, written: &Next, is_written: bool) {
        let mut state = self.state();
        match written {
            Next::Line(line) if !is_written => self.count_lost(&mut state, line.n_events),
            Next::Notice(n) if is_written => state.n_unreported -= n,
            Next::Line(_) | Next::Notice(_) => {}
        }
    }
}

impl State {
    fn owes_notice(&self) -> bool {
        self.n_unreported > 0 && self.notice_due_at <= Instant::now()
    }

    /// Longest wait for something new; `None`: for ever.
    fn wait(&self) -> Option<Duration> {
        let repeats = self.repeats.next_due().map(|due| due.saturating_duration_since(Instant::now()));
        let notice = (self.n_unreported > 0).then_some(NOTICE_EVERY);
        repeats.into_iter().chain(notice).min()
    }

    fn next(&mut self) -> Option<Next> {
        if self.owes_notice() {
            self.notice_due_at = Instant::now() + NOTICE_EVERY;
            return Some(Next::Notice(self.n_unreported));
        }
        let line = self.queued.pop_front()?;
        self.n_bytes -= line.line.len();
        Some(Next::Line(line))
    }
}

/// Writes a line whole; where that fails, the error is how many bytes were written.
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

/// The line that says how many were lost, in the look of the others.
fn notice(n_lost: u64) -> Vec<u8> {
    let line = Buffer::default();
    let writer = line.clone();
    let layer = super::layer::<Registry, _>(LOOK.get().copied().unwrap_or_default(), move || writer.clone());
    // The level matters beyond this subscriber: all that exist together decide what costs time.
    let subscriber = tracing_subscriber::registry().with(layer).with(LevelFilter::WARN);
    dispatcher::with_default(&Dispatch::new(subscriber), || warn!(lost = n_lost, "log lines were lost"));
    line.take()
}

/// A line that is being made.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Far above what anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A reader that takes a line at a time, each when the test takes it, and a disk that may be full.
    struct Out {
        lines: SyncSender<String>,
        is_full: Arc<Mutex<bool>>,
    }

    impl Write for Out {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if *self.is_full.lock().unwrap() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.lines.send(String::from_utf8(line.to_vec()).unwrap()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Starts a queue whose reader takes nothing by itself: the queue, what is read, and whether the disk is full.
    fn start() -> (Arc<Lines>, Receiver<String>, Arc<Mutex<bool>>) {
        let lines = Arc::new(Lines::new(IntCounter::new("lost", "lost").unwrap()));
        let (sender, read) = sync_channel(0);
        let is_full = Arc::new(Mutex::new(false));
        let mut out = Out { lines: sender, is_full: Arc::clone(&is_full) };
        let writing = Arc::clone(&lines);
        thread::Builder::new().spawn(move || writing.write_all_to(&mut out)).unwrap();
        (lines, read, is_full)
    }

    #[test]
    fn lines_beyond_the_cap_are_lost_counted_and_reported_once() {
        let (lines, read, _) = start();
        let line = vec![b'x'; QUEUED_MAX / 4];
        for _ in 0..10 {
            lines.send(line.clone());
        }
        let n_lost = lines.lost.get();
        // One may have left the queue for the reader, who takes nothing yet.
        assert!((5..=6).contains(&n_lost), "{n_lost}");
        let (mut n_read, mut notices) = (0, vec![]);
        while n_read < 10 - n_lost || notices.is_empty() {
            let text = read.recv_timeout(PATIENCE).unwrap();
            if text.len() == line.len() { n_read += 1 } else { notices.push(text) }
        }
        assert!(
            notices.len() == 1 && notices[0].contains(&format!("log lines were lost lost={n_lost}")),
            "{notices:?}"
        );
        assert_eq!(lines.lost.get(), n_lost);
    }

    #[test]
    fn a_full_disk_costs_lines_only_as_long_as_it_is_full() {
        let (lines, read, is_full) = start();
        *is_full.lock().unwrap() = true;
        lines.send(b"one\n".to_vec());
        lines.send(b"two\n".to_vec());
        lines.flush(PATIENCE);
        assert_eq!(lines.lost.get(), 2);
        *is_full.lock().unwrap() = false;
        let notice = read.recv_timeout(PATIENCE).unwrap();
        assert!(notice.ends_with("log lines were lost lost=2\n"), "{notice}");
        lines.send(b"three\n".to_vec());
        assert_eq!(read.recv_timeout(PATIENCE).unwrap(), "three\n");
    }

    #[test]
    fn the_last_lines_are_waited_for_but_not_for_ever() {
        let (lines, read, _) = start();
        lines.send(b"last\n".to_vec());
        lines.flush(Duration::from_millis(1));
        let reader = thread::Builder::new().spawn(move || read.recv_timeout(PATIENCE).unwrap()).unwrap();
        lines.flush(PATIENCE);
        assert!(lines.state().queued.is_empty() && !lines.state().is_writing);
        assert_eq!(reader.join().unwrap(), "last\n");
    }

    #[test]
    fn a_line_that_was_cut_off_is_ended_before_the_next() {
        struct Narrow(Vec<u8>, usize);
        impl Write for Narrow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let n = bytes.len().min(self.1);
                self.1 -= n;
                self.0.extend(&bytes[..n]);
                if n == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(n) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Narrow(vec![], 2);
        assert_eq!(write_line(&mut out, b"long\n"), Err(2));
        assert_eq!(write_line(&mut out, b"long\n"), Err(0));
        assert_eq!(out.0, b"lo");
    }
}
