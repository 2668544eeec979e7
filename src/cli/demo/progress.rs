//! Shows how far a demo is: a bar on a terminal, a line every ten seconds elsewhere. On standard error.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::line::Plan;
use crate::outcome::Status;
use crate::store::BatchStatus;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The display.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Cell<Instant>,
}

impl Progress {
    /// Makes the display that fits standard error.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}");
            bar.set_style(style.expect("the template is a constant"));
            bar
        });
        Self { bar, last_line: Cell::new(Instant::now()) }
    }

    /// Prints a line.
    #[expect(clippy::print_stderr, reason = "progress is for people, on standard error")]
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Shows how far the batch is.
    pub(super) fn show(&self, batch: &BatchStatus, plan: &Plan) {
        let wanted = plan.ends.values().sum();
        let failed = batch.ended() - batch.with_status(Status::Registered);
        let message = format!("{} registered, {failed} otherwise", batch.with_status(Status::Registered));
        match &self.bar {
            Some(bar) => {
                bar.set_length(wanted);
                bar.set_position(batch.ended());
                bar.set_message(message);
            }
            None if self.last_line.get().elapsed() >= LINE_EVERY => {
                self.last_line.set(Instant::now());
                self.say(&format!("{} of {wanted} ended: {message}", batch.ended()));
            }
            None => {}
        }
    }

    /// Ends the display.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
