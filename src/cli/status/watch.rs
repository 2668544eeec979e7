//! `muster status --watch`: refreshes the status in place.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::INTERRUPTED;
use crate::cli::stdout::{self, StdoutReader, Unwritable};
use crate::operator::situation::Severity;
use crate::operator::status::{BatchListing, Measured, StatusQuery};

/// Interval between lines if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Moves the cursor to the top left corner and clears the screen (ANSI escape codes).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// One refresh.
struct Frame {
    /// The text for a terminal.
    text: String,
    /// The line for anything else.
    line: String,
    /// Whether nothing will change any more.
    is_last: bool,
}

/// The destination of the frames.
struct Screen {
    is_terminal: bool,
    last_line: Option<Instant>,
}

/// Shows a batch until it is complete or `stop` is cancelled.
pub(super) async fn batch(
    query: &StatusQuery<'_>,
    every: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut last: Option<(Instant, u64)> = None;
    let draw = async || {
        let (now, batch) = (Instant::now(), query.counters().await?);
        let measured = last
            .map(|(at, n_before)| Measured { n_outcomes: batch.finished().saturating_sub(n_before), time: now - at });
        last = Some((now, batch.finished()));
        let report = query.report(&batch, measured).await?;
        let stopped = report.obstacles.first().filter(|worst| worst.severity == Severity::Stopped);
        let stopped = stopped.map_or_else(String::new, |obstacle| format!("; stopped: {}", obstacle.what));
        let line = format!("batch {}: {}{stopped}", query.batch, report.headline());
        Ok(Frame { text: report.to_string(), line, is_last: report.is_complete() })
    };
    show(draw, every, stop).await
}

/// Shows the list of batches until `stop` is cancelled.
pub(super) async fn list(
    read: impl AsyncFn() -> anyhow::Result<BatchListing>,
    every: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let draw = async || {
        let listing = read().await?;
        Ok(Frame { text: listing.to_string(), line: listing.line(), is_last: false })
    };
    show(draw, every, stop).await
}

async fn show(
    mut draw: impl AsyncFnMut() -> anyhow::Result<Frame>,
    every: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut screen = Screen { is_terminal: std::io::stdout().is_terminal(), last_line: None };
    loop {
        let frame = draw().await?;
        if screen.show(&frame)? == StdoutReader::Gone || frame.is_last {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(INTERRUPTED.into()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

impl Screen {
    fn show(&mut self, frame: &Frame) -> Result<StdoutReader, Unwritable> {
        if self.is_terminal {
            stdout::print(format_args!("{CLEAR}{}", frame.text))
        } else if frame.is_last || self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            stdout::print(format_args!("{}\n", frame.line))
        } else {
            Ok(StdoutReader::There)
        }
    }
}
