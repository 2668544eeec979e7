use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Much longer than any test here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reader that takes one line whenever the test takes one, and a disk that can be full.
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

/// Starts a queue whose reader takes nothing by itself. Returns the queue, the lines read, and whether the disk is
/// full.
fn start() -> (Arc<Lines>, Receiver<String>, Arc<Mutex<bool>>) {
    let lines = Arc::new(Lines::new(IntCounter::new("lost", "lost").unwrap(), LineStyle::default()));
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
    // One line may have left the queue for the reader, which takes nothing yet.
    assert!((5..=6).contains(&n_lost), "{n_lost}");
    let (mut n_read, mut n_reported) = (0, 0);
    while n_read < 10 - n_lost || n_reported < n_lost {
        let text = read.recv_timeout(PATIENCE).unwrap();
        if text.len() == line.len() {
            n_read += 1;
        } else {
            // The first report may come while others are being lost.
            let (_, n) = text.trim_end().rsplit_once("log lines were lost lost=").unwrap();
            n_reported += n.parse::<u64>().unwrap();
        }
    }
    assert_eq!((n_reported, lines.lost.get()), (n_lost, n_lost));
}

#[test]
fn lines_are_lost_only_while_the_disk_is_full() {
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
fn a_flush_waits_for_the_last_lines_but_not_forever() {
    let (lines, read, _) = start();
    lines.send(b"last\n".to_vec());
    lines.flush(Duration::from_millis(1));
    let reader = thread::Builder::new().spawn(move || read.recv_timeout(PATIENCE).unwrap()).unwrap();
    lines.flush(PATIENCE);
    assert!(lines.state().queued.is_empty() && !lines.state().is_writing);
    assert_eq!(reader.join().unwrap(), "last\n");
}

#[test]
fn repeats_are_counted_until_their_window_ends_or_the_process_does() {
    let (lines, read, _) = start();
    let line = b"2026-11-28T06:00:00Z WARN muster: again\n";
    let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
    for _ in 0..3 {
        lines.log(line, long_ago);
    }
    let next = || read.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        [next(), next()],
        ["", " repeated=2"].map(|end| format!("2026-11-28T06:00:00Z WARN muster: again{end}\n"))
    );
    lines.log(line, Instant::now());
    lines.flush(Duration::from_millis(1));
    assert!(next().ends_with("again repeated=1\n"));
}

#[test]
fn repeats_that_cannot_be_written_count_as_lost_lines() {
    let (lines, read, is_full) = start();
    *is_full.lock().unwrap() = true;
    for _ in 0..5 {
        lines.log(b"2026-11-28T06:00:00Z WARN muster: again\n", Instant::now());
    }
    lines.flush(PATIENCE);
    assert_eq!(lines.lost.get(), 5);
    *is_full.lock().unwrap() = false;
    assert!(read.recv_timeout(PATIENCE).unwrap().ends_with("log lines were lost lost=5\n"));
}

#[test]
fn a_failed_write_reports_how_much_was_written() {
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
