//! Progress of a command on standard error: a bar on a terminal, otherwise a line every ten seconds.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::talk::talk;
use crate::operator::long_task::TaskCounts;
use crate::telemetry;

/// Interval between progress lines if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress display.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Cell<Instant>,
}

impl Progress {
    /// Creates the display that fits standard error.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()));
        Self { bar, last_line: Cell::new(Instant::now()) }
    }

    /// Prints a line above the progress.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| talk(line)),
            None => telemetry::say(line),
        }
    }

    /// Shows that `n` items are done, out of `total` if known; `message` completes the line.
    pub(super) fn show(&self, n: u64, total: Option<u64>, message: &str) {
        if let Some(bar) = &self.bar {
            let template =
                if total.is_some() { "{bar:30} {pos}/{len} {msg}  {elapsed}" } else { "{pos} {msg}  {elapsed}" };
            bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants"));
            bar.set_length(total.unwrap_or(0));
            bar.set_message(message.to_owned());
            bar.set_position(n);
        } else if self.last_line.get().elapsed() >= LINE_EVERY {
            self.last_line.set(Instant::now());
            let of_total = total.map_or_else(String::new, |total| format!(" of {total}"));
            self.say(&format!("{n}{of_total} {message}"));
        }
    }

    /// Shows the progress of a task until it is done, and returns its result.
    pub(super) async fn follow<T>(
        &self,
        task: impl Future<Output = T>,
        mut counts: watch::Receiver<TaskCounts>,
        total: Option<u64>,
        message: &str,
    ) -> T {
        let mut task = Box::pin(task);
        loop {
            tokio::select! {
                result = &mut task => {
                    self.done();
                    return result;
                }
                Ok(()) = counts.changed() => {
                    let TaskCounts { n_done, n_failed } = *counts.borrow_and_update();
                    self.show(n_done + n_failed, total, message);
                }
            }
        }
    }

    /// Removes the display.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
