//! The result of enqueueing. Every entry is counted once, so the counts add up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::exit;
use crate::cli::format::{grouped, span};
use crate::intake::enqueue::{BatchOrder, CallResult, EnqueueTally};
use crate::intake::manifest::Manifest;
use muster_core::format::time_for;
use muster_core::rate::Rate;

/// The counts of a run. Except in a dry run, `to_send` is the sum of `sent`, `refused_by_queue` and `not_sent`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Summary {
    batch: String,
    source: Option<String>,
    target: String,
    dry_run: bool,
    #[serde(flatten)]
    files: Files,
    #[serde(flatten)]
    pub tally: EnqueueTally,
    /// Messages that SQS accepted.
    pub sent: u64,
    /// Messages that SQS refused as invalid.
    refused_by_queue: u64,
    /// Messages that were not sent, for any other reason.
    not_sent: u64,
    /// Path of the rejects file.
    pub rejects_file: Option<PathBuf>,
    /// The target's quota, in calls per second.
    quota_per_second: f64,
    /// Minimum duration of the registrations at that quota, in seconds.
    seconds_at_quota: Option<f64>,
}

/// Number of files.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::cli) struct Files {
    /// Files read.
    files: u64,
    /// Files in folders that were skipped because of their name.
    skipped_files: u64,
}

/// There is no file that could contain a certificate.
#[derive(Debug, thiserror::Error)]
#[error("found nothing to read: in folders, only files named .pem, .crt, .cer, .cert or .der are read")]
pub(in crate::cli) struct NothingToRead;

impl Files {
    /// Counts the files of a manifest.
    ///
    /// # Errors
    /// [`NothingToRead`] if there are no files.
    pub(in crate::cli) fn of(manifest: &Manifest) -> Result<Self, NothingToRead> {
        match manifest.n_files() {
            0 => Err(NothingToRead),
            files => Ok(Self { files, skipped_files: manifest.n_skipped() }),
        }
    }
}

impl Summary {
    /// Starts a summary before anything is sent.
    pub(in crate::cli) fn new(order: &BatchOrder, files: Files, tally: EnqueueTally, quota: Rate) -> Self {
        Self {
            batch: order.batch.to_string(),
            source: order.source.as_ref().map(ToString::to_string),
            target: order.target.to_string(),
            dry_run: false,
            files,
            sent: 0,
            refused_by_queue: 0,
            not_sent: tally.to_send,
            rejects_file: None,
            quota_per_second: quota.per_second(),
            seconds_at_quota: time_for(tally.to_send, quota.per_second()).map(|time| time.as_secs_f64()),
            tally,
        }
    }

    /// Marks the run as dry: nothing will be sent.
    pub(in crate::cli) fn set_dry(&mut self) {
        (self.dry_run, self.not_sent) = (true, 0);
    }

    /// Adds the result of a call.
    pub(in crate::cli) fn count(&mut self, called: &CallResult) {
        let n_refused = called.rejects.iter().filter(|reject| !reject.is_not_sent()).count() as u64;
        self.sent += called.n_sent;
        self.refused_by_queue += n_refused;
        self.not_sent -= called.n_sent + n_refused;
    }

    /// Returns the exit code of a run that was not aborted.
    pub(in crate::cli) fn exit_code(&self) -> ExitCode {
        if self.not_sent > 0 {
            return ExitCode::FAILURE;
        }
        let n_rejected = self.tally.n_rejected() + self.refused_by_queue;
        if n_rejected > 0 { exit::SOME_FAILED.into() } else { ExitCode::SUCCESS }
    }

    /// Returns the number of messages that were not sent and can be retried.
    pub(in crate::cli) fn not_sent(&self) -> u64 {
        self.not_sent
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        writeln!(f, "{:>11}  found in {}{}", grouped(tally.found), n_files(self.files.files), self.skipped())?;
        line(f, tally.n_rejected(), &format!("rejected: {}", by_code(&tally.rejected)))?;
        line(f, tally.duplicates, "duplicates, sent once")?;
        line(f, tally.issuers, &format!("CA certificates, not sent{}", in_doubt(tally.issuers_in_doubt)))?;
        writeln!(f, "{:>11}  {}", grouped(tally.to_send), if self.dry_run { "would be sent" } else { "to send" })?;
        line(f, tally.warnings.values().sum(), &format!("warnings: {}", by_code(&tally.warnings)))?;
        for (code, first) in &tally.first_warnings {
            writeln!(f, "{:>11}  first {code}: {first}", "")?;
        }
        if !self.dry_run {
            writeln!(f)?;
            writeln!(f, "{:>11}  sent in batch {}", grouped(self.sent), self.batch)?;
            line(f, self.refused_by_queue, "refused by SQS")?;
            line(f, self.not_sent, "NOT SENT")?;
        }
        if let Some(time) = time_for(tally.to_send, self.quota_per_second).filter(|time| time.as_secs() > 0) {
            writeln!(f, "\nRegistering them takes at least {} at {} a second.", span(time), self.quota_per_second)?;
        }
        if let Some(path) = &self.rejects_file {
            writeln!(f, "The rejects, with reasons, are in {}.", path.display())?;
        }
        Ok(())
    }
}

impl Summary {
    fn skipped(&self) -> String {
        match self.files.skipped_files {
            0 => String::new(),
            n => format!(" ({} with other names not read)", n_files(n)),
        }
    }
}

fn n_files(n: u64) -> String {
    if n == 1 { "1 file".to_owned() } else { format!("{} files", grouped(n)) }
}

/// Writes a line unless the count is zero.
fn line(f: &mut fmt::Formatter<'_>, n: u64, what: &str) -> fmt::Result {
    if n == 0 { Ok(()) } else { writeln!(f, "{:>11}  {what}", grouped(n)) }
}

/// Explains why some certificates that may be devices were taken for CAs.
fn in_doubt(n: u64) -> String {
    match n {
        0 => String::new(),
        n => format!(" ({} of them because something in the same file is unreadable)", grouped(n)),
    }
}

fn by_code(counts: &BTreeMap<&'static str, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(code, n)| format!("{} {code}", grouped(*n))).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::intake::enqueue::BatchOrder;

    fn summary(to_send: u64, rejected: u64) -> Summary {
        let order = BatchOrder {
            batch: "b".parse().unwrap(),
            source: None,
            target: "default".parse().unwrap(),
            status: None,
            verify: false,
            cas: Arc::new([]),
            without_ca: false,
        };
        let tally = EnqueueTally {
            found: to_send + rejected,
            to_send,
            rejected: BTreeMap::from([("expired", rejected)]),
            ..EnqueueTally::default()
        };
        Summary::new(&order, Files { files: 1, skipped_files: 2 }, tally, Rate::new(10.0).unwrap())
    }

    #[test]
    fn unsent_messages_outweigh_rejects_in_the_exit_code() {
        let mut summary = summary(2, 1);
        assert_eq!(summary.exit_code(), ExitCode::FAILURE);
        summary.count(&CallResult { n_sent: 2, ..CallResult::default() });
        assert_eq!(summary.exit_code(), ExitCode::from(3));
        let mut summary = self::summary(1, 0);
        summary.count(&CallResult { n_sent: 1, ..CallResult::default() });
        assert_eq!(summary.exit_code(), ExitCode::SUCCESS);
    }

    #[test]
    fn the_summary_omits_zero_counts() {
        let mut summary = summary(100_000, 1_200);
        summary.set_dry();
        assert_eq!(
            summary.to_string(),
            "    101,200  found in 1 file (2 files with other names not read)
      1,200  rejected: 1,200 expired
    100,000  would be sent

Registering them takes at least 2 h 46 min at 10 a second.
"
        );
    }
}
