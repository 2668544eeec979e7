//! The first rejects of a run, listed when there is no rejects file.

use crate::cli::format::grouped;
use crate::cli::progress::Progress;
use crate::intake::enqueue::Reject;

/// Maximum number of rejects to list.
const LISTED: usize = 10;

/// The first rejects of a run and the total count.
#[derive(Default)]
pub(in crate::cli) struct FirstRejects {
    first: Vec<Reject>,
    n: u64,
}

impl FirstRejects {
    /// Adds a reject.
    pub(in crate::cli) fn push(&mut self, reject: Reject) {
        self.n += 1;
        if self.first.len() < LISTED {
            self.first.push(reject);
        }
    }

    /// Lists the first rejects; if there are more, `how` explains how to see all of them.
    pub(in crate::cli) fn list(&self, progress: &Progress, how: &str) {
        for reject in &self.first {
            progress.say(&format!("rejected: {reject}"));
        }
        let n_more = self.n - self.first.len() as u64;
        if n_more > 0 {
            progress.say(&format!("{} more rejects are not listed: {how}", grouped(n_more)));
        }
    }
}
