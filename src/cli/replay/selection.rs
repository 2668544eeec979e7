//! The arguments that select jobs for a replay, and the filter they form.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::words;
use crate::ledger::Ledger;
use crate::operator::replays::ReplayOrder;
use crate::operator::status::counters;
use muster_core::advice::{Advice, Exit};
use muster_core::certificate::CertificateId;
use muster_core::job::Name;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::CERTIFICATES_MAX;

/// Selects the jobs that match every condition.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args(["batches", "all_batches", "certificates"]))]
pub(super) struct Selection {
    /// Batches to replay.
    #[arg(value_name = "BATCH")]
    batches: Vec<Name>,
    /// Every batch of the ledger.
    #[arg(long, conflicts_with = "batches")]
    all_batches: bool,
    /// File of certificate ids, one per line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    certificates: Option<PathBuf>,
    /// Only these factory lines.
    #[arg(long = "source", value_name = "NAME", value_delimiter = ',')]
    sources: Vec<Name>,
    /// Only these codes, as shown by `muster status`.
    #[arg(long = "code", value_name = "CODE", value_delimiter = ',', value_parser = words::codes(|status| !status.is_success()), hide_possible_values = true)]
    codes: Vec<Code>,
    /// Only these statuses, with any code.
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',', value_parser = words::statuses(|status| !status.is_success()))]
    statuses: Vec<Status>,
    /// Only outcomes at or after this time: a timestamp like 2026-11-21T10:00:00Z, or a duration before now like 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<OffsetDateTime>,
    /// Only outcomes before this time: a timestamp or a duration before now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<OffsetDateTime>,
    /// Also resends jobs that were already resent but have no outcome yet (use this if messages were lost).
    #[arg(long)]
    even_sent: bool,
}

/// Invalid arguments.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SelectionError {
    /// A line of the file is not a certificate id.
    #[error("line {line} of {}: {error}", path.display())]
    NoId {
        /// The file.
        path: PathBuf,
        /// The line number, counted from 1.
        line: usize,
        /// What is wrong with it.
        error: muster_core::certificate::CertificateIdError,
    },
    /// The file contains no ids.
    #[error("{} contains no certificate ids", .0.display())]
    NoCertificate(PathBuf),
    /// The file contains too many ids.
    #[error("{} contains more than {CERTIFICATES_MAX} certificate ids: split it", .0.display())]
    TooMany(PathBuf),
}

impl Advice for SelectionError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Selection {
    /// Returns the order that the arguments form.
    pub(super) fn order(&self) -> anyhow::Result<ReplayOrder> {
        let certificates = self.certificates.as_deref().map(read_ids).transpose()?;
        Ok(ReplayOrder {
            batches: self.batches.iter().cloned().collect(),
            all_batches: self.all_batches,
            certificates: certificates.unwrap_or_default(),
            sources: self.sources.iter().cloned().collect(),
            codes: self.codes.iter().copied().collect(),
            statuses: self.statuses.clone(),
            since: self.since,
            until: self.until,
            even_sent: self.even_sent,
            verify: false,
        })
    }

    /// Checks that the ledger knows the batches: a typo would look as if nothing had failed.
    pub(super) async fn check_batches(&self, ledger: &Ledger) -> anyhow::Result<()> {
        for batch in &self.batches {
            counters(ledger, batch).await?;
        }
        Ok(())
    }
}

/// Parses a timestamp, or a duration before now.
fn time(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let span: humantime::Duration =
        text.parse().map_err(|_| "expected a timestamp like 2026-11-21T10:00:00Z, or a duration like 2h".to_owned())?;
    let ago = time::Duration::try_from(*span).ok().and_then(|span| OffsetDateTime::now_utc().checked_sub(span));
    ago.map(OffsetDateTime::truncate_to_second).ok_or_else(|| format!("{text} is too long ago"))
}

/// Reads ids, one per line. Empty lines and lines that begin with `#` are skipped.
fn read_ids(path: &Path) -> anyhow::Result<BTreeSet<CertificateId>> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    let mut ids = BTreeSet::new();
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
        let id = text.parse().map_err(|error| SelectionError::NoId { path: path.to_owned(), line, error })?;
        ids.insert(id);
    }
    match ids.len() {
        0 => Err(SelectionError::NoCertificate(path.to_owned()).into()),
        1..=CERTIFICATES_MAX => Ok(ids),
        _ => Err(SelectionError::TooMany(path.to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;

    fn selection(arguments: &[&str]) -> Result<Selection, clap::Error> {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            selection: Selection,
        }
        let matches = Command::command().no_binary_name(true).try_get_matches_from(arguments)?;
        Ok(Command::from_arg_matches(&matches)?.selection)
    }

    #[test]
    fn batches_or_certificates_must_be_selected() {
        assert!(selection(&[]).is_err() && selection(&["--code", "timeout"]).is_err());
        assert!(selection(&["b"]).is_ok() && selection(&["--all-batches"]).is_ok());
        assert!(selection(&["b", "--all-batches"]).is_err(), "all batches, or those named");
    }

    #[test]
    fn successful_outcomes_cannot_be_selected() {
        assert!(selection(&["b", "--code", "ok"]).is_err() && selection(&["b", "--status", "registered"]).is_err());
    }

    #[test]
    fn a_time_is_a_timestamp_or_a_duration_before_now() {
        assert_eq!(time("2026-11-21T10:00:00Z").unwrap().unix_timestamp(), 1_795_255_200);
        let ago = OffsetDateTime::now_utc() - time("2h").unwrap();
        assert!(ago >= time::Duration::hours(2) && ago < time::Duration::hours(3));
        assert!(time("yesterday").is_err() && time("99999999years").is_err());
    }

    #[test]
    fn an_invalid_id_is_reported_with_its_line_number() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("ids");
            std::fs::write(&path, text).unwrap();
            read_ids(&path)
        };
        let id = "ab".repeat(32);
        assert_eq!(read(&format!("# mine\r\n\r\n  {id}  \n{id}\n")).unwrap().len(), 1);
        assert!(read(&format!("{id}\nSN-7\n")).unwrap_err().to_string().starts_with("line 2 of "));
        assert!(read("# none\n").unwrap_err().to_string().ends_with("contains no certificate ids"));
    }
}
